"""The page of the report loads nothing, begins with the statement, and is accessible."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, sync_playwright

from app.evaluation import number_format, plots, report, report_files
from app.evaluation.errors import EvaluationError
from app.evaluation.report_page import CAPTIONS, render_page
from tests.evaluation.conftest import make_folder, toy_people
from tests.rights.test_export_page import FLAGS, chromium

Evaluated = Callable[..., dict[str, Any]]
LABELS_THAT_OVERLAP = """
Array.from(document.querySelectorAll('figure svg')).flatMap(svg => {
  const boxes = Array.from(svg.querySelectorAll("[id*='tick_'] text"),
    text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([one, a], place) => boxes.slice(place + 1)
    .filter(([_, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other, _]) => `${svg.parentElement.textContent.trim().slice(-40)}: ${one} ${other}`));
})
"""
LABELS = ("<b>F & Co", "$x$")


@pytest.fixture
def document(evaluated: Evaluated, tmp_path: Path) -> dict[str, Any]:
    """Return a report with every section and every figure."""
    people = toy_people(13, 7)
    root = make_folder(tmp_path / "trial", people, dict(zip(people, "ABABABABAB", strict=False)))
    document = evaluated(root, stated=("--origin", "<script>alert(1)</script> & more", "--agreed", "unknown"))
    assert {len(document["references"]["rows"]), len(document["identification"])} == {5, 2}
    return document


@pytest.fixture
def html(document: dict[str, Any], tmp_path: Path) -> Path:
    return tmp_path / "report" / "evaluation.html"


def test_the_page_has_no_script_and_loads_nothing(html: Path) -> None:
    text = html.read_text("utf-8")

    assert (
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
        in text
    )
    assert not re.findall(r"<script|javascript:|\son\w+=|https?://(?!www\.w3\.org/)|@import|<link|<img|<iframe", text)
    assert not re.findall(r"url\((?!#)|href=\"(?!#)", text)
    assert "&lt;script&gt;alert(1)" in text


def test_galleries_in_which_no_stranger_is_found_have_a_figure_that_says_so(document: dict[str, Any]) -> None:
    for gallery in document["identification"]:
        for at in gallery["at"]:
            at["fpir"] = 0.0
    figure = plots.figures(document)["identification"]

    assert "no stranger was found" in figure


def test_a_costly_rounding_of_templates_is_in_the_warnings(document: dict[str, Any]) -> None:
    words = "The 8-bit numbers of templates raise an error rate by more than a tenth, as at 0.3."
    at = {"threshold": 0.3, "float64": {"fmr": 0.1, "fnmr": 0.1}, "int8": {"fmr": 0.1, "fnmr": 0.2}}
    costly = {**document, "stored_numbers": {"at": [{**at, "changed_decisions": 3}]}}
    by_chance = {**document, "stored_numbers": {"at": [{**at, "changed_decisions": 2}]}}

    assert not [text for text in document["warnings"] if "8-bit" in text]
    assert [words in text for text in report.warnings(costly) if "8-bit" in text] == [True]
    assert report.warnings(by_chance) == document["warnings"]


def test_the_same_numbers_give_the_same_page(document: dict[str, Any]) -> None:
    assert render_page(document) == render_page(document)


def test_every_figure_has_a_title_a_text_and_a_unique_name(html: Path) -> None:
    text = html.read_text("utf-8")
    ids = re.findall(r'\sid="([^"]*)"', text)

    assert len(ids) == len(set(ids))
    for name, (title, words) in CAPTIONS.items():
        assert f'<figure role="img" aria-labelledby="{name}-title {name}-words">' in text
        assert title in text
        assert words in text
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)
    assert "mathdefault" not in text


def test_labels_are_text_in_figures_and_tables(document: dict[str, Any]) -> None:
    def renamed(rates: dict[str, float]) -> dict[str, float]:
        return {"/".join(LABELS) if key == "AB" else key: rate for key, rate in rates.items()}

    for row in (*document["calibration"]["table"], *document["at"]):
        row["fmr_by_group"] = renamed(row["fmr_by_group"])
    document["groups"]["impostor_pairs"] = renamed(document["groups"]["impostor_pairs"])

    text = render_page(document)

    assert text.count("&lt;b&gt;F &amp; Co/$x$") == 2
    assert "<b>F" not in text


def test_a_rate_of_fewer_than_three_events_is_not_stated() -> None:
    assert number_format.seen(2 / 500, 500) == "fewer than 3 in 500"
    assert number_format.seen(3 / 500, 500) == "0.6 %"
    assert number_format.seen(0.0, 12345) == "fewer than 3 in 12\N{NO-BREAK SPACE}345"
    assert number_format.rate(0.000123).startswith("1.2 ")
    assert number_format.rate(0.000123).endswith("10⁻⁴")
    assert [number_format.rate(value) for value in (0.0, 0.0273, 1.0)] == ["none seen", "2.7 %", "100 %"]
    assert number_format.bounds([0.0, 0.5]) == "0 to 50 %"


def test_no_rate_is_below_the_floor_of_the_number_of_pairs(document: dict[str, Any]) -> None:
    floor = document["calibration"]["pairs_floor"]

    assert document["calibration"]["impostor_pairs"] == 91 * 90 // 2 - 13 * 21
    assert floor == pytest.approx(3 / document["calibration"]["impostor_pairs"], rel=1e-3)
    rates = [row["fmr"] for row in document["calibration"]["table"]] + document["det"]["fmr"]
    assert min(rates) >= floor * 0.999
    assert all(one["target_fmr"] >= floor * 0.999 for one in document["at"] if one["target_fmr"])
    assert [text for text in document["warnings"] if f"below {floor:.2g} is stated" in text]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def shown(browser: Browser, html: Path) -> Iterator[Page]:
    """The page, opened as a file; it writes nothing to the console."""
    context = browser.new_context(offline=True)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(html.as_uri())
    assert asked == [html.as_uri()], "one request: for the page itself"
    yield opened
    assert not [text for text in said if "axe" not in text.lower() and "Content Security Policy" in text]
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault_and_no_part_is_wider_than_the_screen(shown: Page, width: int, scheme: str) -> None:
    shown.set_viewport_size({"width": width, "height": 800})
    shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    found = Axe().run(shown)

    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 10
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_every_figure_is_drawn_and_the_statement_is_first(shown: Page) -> None:
    sizes = shown.evaluate("Array.from(document.querySelectorAll('figure svg'), one => one.getBBox().width)")

    assert len(sizes) == 5
    assert all(size > 100 for size in sizes)
    assert shown.locator("section").first.inner_text().startswith("Where the images came from, as stated:")
    assert shown.locator("section").first.inner_text().count("<script>alert(1)</script> & more") == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_no_label_of_an_axis_covers_another_one_on_54_million_pairs(
    browser: Browser, document: dict[str, Any], tmp_path: Path, width: int
) -> None:
    rates = [3 / 54_000_000 * 1.3**step for step in range(63)]
    document["det"] = {"fmr": rates, "fnmr": rates[::-1]}
    file = tmp_path / "wide.html"
    file.write_text(render_page(document), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())

    covered = page.evaluate(LABELS_THAT_OVERLAP)
    labels = page.locator("[id^='det-xtick'] text").all_text_contents()
    page.close()

    assert covered == []
    assert len(labels) >= 4
    assert labels[-1] == "100 %"


def test_a_trial_without_a_miss_has_a_note_in_the_figure(document: dict[str, Any]) -> None:
    some = {**document, "det": {"fmr": [0.1, 0.01], "fnmr": [0.1, 0.2]}}

    assert not any(document["det"]["fnmr"])
    assert "no miss was seen" in plots.figures(document)["det"]
    assert "no miss was seen" not in plots.figures(some)["det"]


def test_a_killed_run_leaves_no_report(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, placed = tmp_path / "other", list[str]()

    def killed(file: Path, _content: bytes) -> None:
        placed.append(file.name)
        file.write_text("")
        if len(placed) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(report_files, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        report_files.write_report(out, document)
    report_files.check_output(out, force=False)
    placed.append("so that the next is not the first")
    report_files.write_report(out, document)

    with pytest.raises(EvaluationError, match="already"):
        report_files.check_output(out, force=False)
