"""Names in any script are accepted; control characters are not."""

import pytest

from app.kit.text import readable
from tests.rest.conftest import slug
from tests.support.service_fixture import RunningService

NAMES = [
    "Ada",
    "Seán Ó Súilleabháin-O'Neill",
    "Åsa Nguyễn Thị Ánh",
    "Åsa",
    "李小龍",
    "さくら ラーメン",
    "김민준",
    "محمد علی",
    "علی\u200cرضا",  # noqa: RUF001 - not an l
    "שָׂרָה",
    "क्\u200dष",
    "ශ්\u200dරී ලංකා",
    "ธนพล",
    "Ελένη",
    "Наталья",
    "ⴰⵎⴰⵢⴰⵙ",
    "𐌰𐌹𐌽𐍃",
    "👩\u200d👩\u200d👧 🏳️",
    "A\u00a0B\u3000C",
    "\u200fAda\u200e",
    "<b>Ada & Co.</b>",
]
CONTROLS = [chr(one) for one in (*range(32), *range(0x7F, 0xA0))]
TURNING = list("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
OTHER = ["\u2028", "\u2029", "\ud800", "\udfff"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_script_are_readable(name: str) -> None:
    assert readable(name)


@pytest.mark.parametrize("one", [*CONTROLS, *TURNING, *OTHER], ids=ascii)
def test_control_characters_are_not_readable(one: str) -> None:
    assert not any(readable(text) for text in (one, f"Ada{one}", f"{one}Ada", f"A{one}a"))


def test_display_name_must_be_readable(service: RunningService) -> None:
    person = service.person("Ada")

    for name in NAMES:
        answer = person("PATCH", "/v1/me", json={"display_name": name})

        assert (answer.status_code, answer.json()["display_name"]) == (200, name)
        assert service.person(name)("GET", "/v1/me").json()["display_name"] == name
    for one in ["\0", "\x1b", "\n", "\x7f", "\x85", *TURNING, "\u2028"]:
        wrong = {"display_name": f"Ada{one}B"}
        answers = [
            person("PATCH", "/v1/me", json=wrong),
            service.client.post("/v1/subjects", json={"declared_adult": True} | wrong),
        ]

        assert [slug(answer) for answer in answers] == [(422, "invalid-request")] * 2
        assert [[fault["pointer"] for fault in answer.json()["errors"]] for answer in answers] == [
            ["/display_name"]
        ] * 2
        assert answers[0].json()["errors"][0]["detail"].startswith("Leave out control characters")
    assert person("GET", "/v1/me").json()["display_name"] == NAMES[-1]
