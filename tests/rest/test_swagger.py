"""The API page at `/docs` loads everything from this service: by its text, and in a real browser."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.rest.conftest import slug
from tests.rights.test_export_page import FLAGS, chromium
from tests.support.service_fixture import RunningService


def test_the_page_loads_nothing_from_elsewhere(service: RunningService) -> None:
    page = service.client.get("/docs")
    loaded = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", page.text)
    answers = {address: service.client.get(str(page.url.join(address))) for address in loaded}

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(loaded) >= 4
    assert not [address for address in loaded if urlsplit(address).netloc or urlsplit(address).scheme]
    assert {answer.status_code for answer in answers.values()} == {200}
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|https?://", page.text), "no inline script"
    for answer in [page, *(answers[address] for address in loaded if address.startswith("docs/"))]:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "validatorUrl: null" in answers["docs/start.js"].text


@pytest.mark.parametrize("path", ["/redoc", "/docs/__init__.py", "/docs/..main.py", "/docs/oauth2-redirect", "/docs/"])
def test_no_other_file_is_served_beside_it(service: RunningService, path: str) -> None:
    assert slug(service.client.get(path)) == (404, "not-found")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    yield context.new_page()
    context.close()


@pytest.mark.browser
def test_a_browser_shows_every_operation_and_contacts_no_other_host(service: RunningService, page: Page) -> None:
    requested: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(str(service.client.base_url.join("/docs")))
    page.wait_for_selector(".opblock")
    document = service.client.get("/openapi.json").json()
    described = [*document["paths"].values(), *document["webhooks"].values()]
    operations = sum(len(methods) for methods in described)

    assert page.locator(".opblock").count() == operations
    assert page.locator(".info .title").inner_text().startswith("Mien")
    livez = document["paths"]["/livez"]["get"]["operationId"]
    page.locator(f"#operations-operators-{livez} .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.wait_for_selector(".live-responses-table")
    assert '"live"' in page.locator(".live-responses-table").inner_text()
    assert {urlsplit(url).netloc for url in requested if not url.startswith("data:")} == {
        service.client.base_url.netloc.decode()
    }
    assert errors == []
