"""An ending that could not be written down when it happened is written down when its person asks again."""

from typing import Never

import pytest

from app.transparency.log import signing_keys
from app.vault.seal import KekError
from tests.support.service_fixture import RunningService


def test_a_consent_whose_end_was_not_recorded_is_not_said_to_be_given(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    address = f"/v1/me/consents/{consent['consent_id']}"

    def away(*_given: object) -> Never:
        raise KekError("it is not at hand")

    with monkeypatch.context() as failing:
        failing.setattr(signing_keys, "load_private_key", away)
        first, meanwhile = person("DELETE", address).json(), person("DELETE", address).json()
    later, again = person("DELETE", address).json(), person("DELETE", address).json()
    listed = [one["state"] for one in person("GET", "/v1/me/consents").json()["items"]]

    assert [one["state"] for one in (first, meanwhile, later, again)] == ["withdrawn"] * 4
    assert (first["receipt"], meanwhile["receipt"]) == (None, None)
    assert later["receipt"] is not None
    assert again["receipt"]["jws"] == later["receipt"]["jws"]
    assert listed == ["withdrawn", "given"]
