"""Pasted codes, blank names and saved files are read as their writers meant them."""

import json
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID

import pytest

from app.kit.text import clean_pasted_code, is_blank, to_utf8, visible
from tests.rest.conftest import slug
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

CODE = "mien_rec_JcFnqWq0bQdXr1nO2sVYbqZpHn0kq3vQ0mJ9yTgUe-c"
BLANK = [
    "",
    " ",
    "\u00a0\u3000",
    "\u200b",
    "\u200b\u200d\ufeff",
    "\u2060\u00ad\u180e",
    "\u115f\u1160\u3164\uffa0",
    "\u2800",
    "\u0301",
    "\ufe0f\u034f",
    "\U000e0041\U000e007f",
    "\U0001d159",
]
SEEN = ["a", "\u200bA", "é", "e\u0301", "\u0628", "\u200fא", "👩\u200d👧", "ᄀ", "⠁", "-", "0"]
PASTED: dict[str, Callable[[str], str]] = {
    "line break": lambda code: f"{code}\n",
    "spaces around": lambda code: f"  {code}\t",
    "no-break spaces": lambda code: f"\u00a0{code}\u3000",
    "wrapped": lambda code: f"{code[:20]}\r\n{code[20:]}",
    "zero-width": lambda code: f"{code[:20]} \u200b{code[20:]}\ufeff",
    "soft hyphens": "\u00ad".join,
    "no-break hyphens": lambda code: code.replace("-", "\u2011"),
    "en dashes": lambda code: code.replace("-", "\u2013"),
    "minus signs": lambda code: code.replace("-", "\u2212"),
    "prefix in capitals": lambda code: code[:9].upper() + code[9:],
    "first letter in capitals": lambda code: code[:1].upper() + code[1:],
    "wide letters": lambda code: "".join(chr(ord(char) + 0xFEE0) for char in code),
}


@pytest.mark.parametrize("text", BLANK, ids=ascii)
def test_text_without_a_visible_character_is_blank(text: str) -> None:
    assert is_blank(text)
    assert visible(text) in {"", "\u0301", "\ufe0f\u034f"}


@pytest.mark.parametrize("text", SEEN, ids=ascii)
def test_text_with_a_visible_character_is_not_blank(text: str) -> None:
    assert not is_blank(text)
    assert visible(text)


def test_names_that_look_the_same_are_the_same_to_a_reader() -> None:
    assert visible("Front\u00a0 door\u200b") == visible("Front door") == visible("Ｆront door")  # noqa: RUF001 - a wide F
    assert visible("Front door") != visible("Frontdoor")


@pytest.mark.parametrize("way", PASTED)
def test_pasted_code_is_the_code(way: str) -> None:
    cleaned = clean_pasted_code(PASTED[way](CODE))

    assert (cleaned[:9].lower(), cleaned[9:]) == (CODE[:9], CODE[9:])


def test_recovery_accepts_each_way_of_pasting_and_counts_none_as_wrong(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), recovery_failures_per_minute=1) as service:
        code = service.person().recovery_code
        for way, paste in PASTED.items():
            answer = service.client.post("/v1/recoveries", json={"recovery_code": paste(code)})

            assert answer.status_code == 201, way
            code = answer.json()["recovery_code"]
        wrong = service.client.post("/v1/recoveries", json={"recovery_code": code.swapcase()})

        assert wrong.status_code == 401


def test_token_pasted_with_spaces_is_accepted(service: RunningService) -> None:
    person, address = service.person(), service.client.base_url
    for value in (f"Bearer  {person.token}", f"Bearer {person.token} \t", f"Bearer {person.token}\u00a0"):
        # httpx refuses to send these.
        with closing(HTTPConnection(address.host, address.port or 80)) as connection:
            connection.request("GET", "/v1/me", headers={"Authorization": value})

            assert connection.getresponse().status == 200, ascii(value)


@pytest.mark.parametrize("text", BLANK[1:], ids=ascii)
def test_blank_name_is_refused(service: RunningService, text: str) -> None:
    person = service.person("Ada")
    answers = [
        person("PATCH", "/v1/me", json={"display_name": text}),
        service.client.post("/v1/subjects", json={"declared_adult": True, "display_name": text}),
    ]

    assert [slug(answer) for answer in answers] == [(422, "invalid-request")] * 2
    assert person("GET", "/v1/me").json()["display_name"] == "Ada"


def test_blank_note_of_a_dispute_is_refused(service: RunningService) -> None:
    answer = service.person()("PUT", f"/v1/me/comparisons/{UUID(int=1)}/dispute", json={"note": "\u2800"})

    assert slug(answer) == (422, "invalid-request")


SAVED: dict[str, Callable[[str], bytes]] = {
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-32": lambda text: text.encode("utf-32"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "PowerShell": lambda text: b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le"),
}


@pytest.mark.parametrize("form", SAVED)
def test_text_file_is_read_in_each_form(form: str) -> None:
    text = json.dumps({"name": "Müller-Lüdenscheidt 李"}, ensure_ascii=False, indent=1) + "\n"

    assert to_utf8(SAVED[form](text)) == text.encode()


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n", "é".encode("latin-1"), b"\0"])
def test_bytes_that_are_no_text_stay_as_they_are(raw: bytes) -> None:
    assert to_utf8(raw) == raw
