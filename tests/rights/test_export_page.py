"""The page in the export, in a real browser: from the file system, by keyboard, in print and for screen readers."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, sync_playwright

from app.rights import export_page
from tests.rights.complete_person import complete_person, unzipped
from tests.support.service_fixture import RunningService

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = [390, 1280]


pytestmark = pytest.mark.browser


def chromium() -> str:
    """Return the system's Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("There is no Chromium. On Debian and Ubuntu: apt-get install chromium")
    return program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, with a profile of its own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def folder(service: RunningService, tmp_path: Path) -> Path:
    """An unpacked export of a person with data in every table, whose name is markup."""
    whole = complete_person(service, name="<b>Ada & Canary</b> " + "x" * 60)
    for name, content in unzipped(whole.person("GET", "/v1/me/export").content).items():
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "export"


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The page, opened as a file, without scripts."""
    context = browser.new_context(offline=True)
    opened = context.new_page()
    opened.goto((folder / "index.html").as_uri())
    yield opened
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 10


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_photos_show_from_the_file_system(page: Page) -> None:
    sizes = page.evaluate("Array.from(document.images, one => one.complete && one.naturalWidth)")

    assert len(sizes) == 2
    assert all(sizes)


def test_page_has_no_script_and_loads_nothing(folder: Path) -> None:
    text = (folder / "index.html").read_text("utf-8")

    assert not re.findall(r"<script|javascript:|\son\w+=|https?://|url\(", text)


def test_names_are_text_and_not_markup(page: Page) -> None:
    assert page.locator("dd", has_text="<b>Ada & Canary</b>").count() == 1


def test_the_most_important_sections_come_first(page: Page) -> None:
    headings = page.locator("h2").all_inner_texts()

    assert headings[:4] == ["Data held about you", "Who learns what", "Your rights", "Photos that are kept"]
    assert page.locator(".care").inner_text().startswith("Take care of this.")


def test_keyboard_reaches_every_link_and_follows_it(page: Page) -> None:
    links = page.locator("a").count()
    reached = []
    for _ in range(links):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('href')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "who uses keys sees where they are"
        if reached[-1] == "#comparisons":
            page.keyboard.press("Enter")
            assert page.locator("#comparisons").evaluate("one => one.getBoundingClientRect().top < 300")
            break

    assert reached[:2] == ["#learns", "mien.json"]
    assert reached[-1] == "#comparisons"


def test_every_link_leads_somewhere(page: Page, folder: Path) -> None:
    for link in page.locator("a").all():
        target = link.get_attribute("href") or ""

        assert page.locator(target).count() == 1 if target.startswith("#") else (folder / target).is_file()


def test_a_print_is_complete(page: Page) -> None:
    def shown() -> str:
        return page.locator("main").inner_text()

    on_screen = shown()
    page.emulate_media(media="print", color_scheme="dark")

    assert shown() == on_screen
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2026-11-23T06:05:00.123+00:00", "23 November 2026, 06:05 UTC"),
        ("2026-11-23", "23 November 2026"),
        (0.001, "about 1 in 1,000"),
        (True, "yes"),
        (None, "none"),
        ("no_match", "no match: not taken for you"),
        ("something new", "something new"),
        (7, "7"),
    ],
)
def test_values_are_shown_in_words(value: object, words: str) -> None:
    assert export_page.in_words(value) == words


def test_an_unknown_label_is_made_from_the_name() -> None:
    assert export_page.label("shoe_size") == "Shoe size"
