"""Multipart forms as RFC 2046 describes them: a form without its end is refused, text around the parts is ignored."""

from collections.abc import Callable

import httpx
import pytest

from tests.consent.spies import everything
from tests.rest.conftest import slug
from tests.rest.raw_http import END, JSON, part
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import toy_photo

INVALID = (422, "invalid-request")
KIND = "multipart/form-data; boundary=x"
Send = Callable[..., httpx.Response]
"""Posts a form to one of the routes."""


def photo(name: str, face: int = 1) -> bytes:
    return part(name, toy_photo(face), filename=f"{face}.jpg")


@pytest.fixture
def enrolment(service: RunningService) -> tuple[Person, bytes]:
    """A person without an enrolment, and the whole form of one with two photos, which are kept."""
    party, person = service.party("Gate"), service.person()
    consent = service.consent(person, party)["consent_id"].encode()
    service.consent(person, None, "template_renewal")
    kept = part("keep_photos", b"true")
    return person, part("consent_id", consent) + photo("photos") + photo("photos") + kept + END


@pytest.fixture
def probe(service: RunningService) -> tuple[Party, bytes]:
    """A relying party, and the whole form of a verification."""
    _, party, consent = service.enrolled()
    return party, part("subject_ref", consent["subject_ref"].encode()) + photo("probe") + END


def post(who: Person | Party, body: bytes, kind: str = KIND, *, chunked: bool = False) -> httpx.Response:
    token, path = (who.token, "/v1/me/enrolments") if isinstance(who, Person) else (who.key, "/v1/verifications")
    content = (body[at : at + 7] for at in range(0, len(body), 7)) if chunked else body
    return who.client.post(path, content=content, headers={"Content-Type": kind, "Authorization": f"Bearer {token}"})


def cuts(body: bytes) -> dict[str, bytes]:
    """Return *body* without its end, cut at several places."""
    second = body.index(b"--x\r\n", 1)
    return {
        "without the closing boundary": body.removesuffix(END),
        "without its hyphens": body.removesuffix(b"--\r\n"),
        "with one hyphen": body.removesuffix(b"-\r\n"),
        "after a boundary": body[: second + 5],
        "in the name of a header": body[: second + 15],
        "in the value of a header": body[: second + 30],
        "in a part": body[: -len(END) - 3],
        "with another boundary at the end": body.removesuffix(END) + b"--y--\r\n",
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_enrolment_keeps_nothing(
    service: RunningService, enrolment: tuple[Person, bytes], *, chunked: bool
) -> None:
    person, body = enrolment
    before = everything(service.vault)

    for name, cut in cuts(body).items():
        assert (name, *slug(post(person, cut, chunked=chunked))) == (name, *INVALID)
    assert everything(service.vault) == before

    whole = post(person, body, chunked=chunked)
    assert (whole.status_code, len(whole.json()["photos"])) == (201, 2)
    assert len(person("GET", "/v1/me/enrolments").json()["items"][0]["photo_ids"]) == 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_verification_compares_nothing(
    service: RunningService, probe: tuple[Party, bytes], *, chunked: bool
) -> None:
    party, body = probe
    before = everything(service.vault)

    for name, cut in cuts(body).items():
        answer = post(party, cut, chunked=chunked)
        assert (name, *slug(answer)) == (name, *INVALID)
        assert answer.json()["errors"]
    assert everything(service.vault) == before
    assert post(party, body, chunked=chunked).json()["decision"] == "match"


def test_the_answer_to_a_cut_form_says_why(probe: tuple[Party, bytes]) -> None:
    party, body = probe

    errors = post(party, body.removesuffix(END)).json()["errors"]

    assert [(error["pointer"], "closing boundary" in error["detail"]) for error in errors] == [("", True)]


PREAMBLES = {
    "text": b"This is a multi-part message in MIME format.\r\n",
    "several lines": b"One\r\n\r\n-- two\r\n--xy\r\n",
    "a line break": b"\r\n",
    "binary": bytes(range(256)) * 40 + b"\r\n",
}
EPILOGUES = {"none": b"", "text": b"The end.", "a part": photo("photos", 2), "a million bytes": bytes(1_000_000)}


@pytest.mark.parametrize("chunked", [False, True])
def test_text_around_the_parts_is_ignored(
    enrolment: tuple[Person, bytes], probe: tuple[Party, bytes], *, chunked: bool
) -> None:
    for who, body in (enrolment, probe):
        for before, preamble in PREAMBLES.items():
            assert (before, post(who, preamble + body, chunked=chunked).is_success) == (before, True)
    for who, body in (enrolment, probe):
        for after, epilogue in EPILOGUES.items():
            assert (after, post(who, body + epilogue).is_success) == (after, True)


def test_a_boundary_may_be_quoted_or_followed_by_blanks(
    enrolment: tuple[Person, bytes], probe: tuple[Party, bytes]
) -> None:
    for who, body in (enrolment, probe):
        for kind in (
            'multipart/form-data; boundary="x"',
            "multipart/form-data;boundary=x",
            "Multipart/Form-Data; charset=utf-8; boundary=x",
        ):
            assert (kind, post(who, body, kind).is_success) == (kind, True)
        blank = body.replace(b"--x\r\n", b"--x \t\r\n").replace(END, b"--x--  \r\n")
        assert post(who, blank).is_success
        spaced = body.replace(b"--x", b"--a b'(c)+_,./:=?")
        assert post(who, spaced, 'multipart/form-data; boundary="a b\'(c)+_,./:=?"').is_success


def test_a_form_of_parts_that_are_no_fields_is_refused(service: RunningService, probe: tuple[Party, bytes]) -> None:
    party, body = probe
    nameless = b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\nabc\r\n'
    before = everything(service.vault)

    for name, form in {
        "only a closing boundary": END,
        "only a preamble": b"text",
        "a preamble and the end": b"text\r\n" + END,
        "no name": nameless + body,
        "no disposition": b"--x\r\n\r\nabc\r\n" + body,
        "a broken header": b"--x\r\nContent Disposition\r\n\r\nabc\r\n" + body,
    }.items():
        assert (name, *slug(post(party, form))) == (name, *INVALID)
    assert everything(service.vault) == before


def test_of_two_equal_fields_the_last_counts_and_photos_add_up(
    service: RunningService, probe: tuple[Party, bytes], enrolment: tuple[Person, bytes]
) -> None:
    party, body = probe
    person, form = enrolment
    assert post(party, part("subject_ref", b"unknown") + body).json()["decision"] == "match"
    assert post(party, photo("probe", 2) + body).json()["decision"] == "match"
    assert len(post(person, photo("photos") + form).json()["photos"]) == 3
    assert slug(post(person, photo("photos", 2) + form)) == (422, "not-the-same-person")


def test_a_form_for_a_route_that_takes_json_is_refused(service: RunningService) -> None:
    for body in (part("declared_adult", b"true") + END, part("declared_adult", b"true")):
        assert slug(service.client.post("/v1/subjects", content=body, headers={"Content-Type": KIND})) == INVALID
    assert service.client.post("/v1/subjects", content=b'{"declared_adult": true}', headers=JSON).status_code == 201


def test_an_ordinary_client_is_served(service: RunningService) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)

    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"
