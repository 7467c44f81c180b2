"""Signing while the keys are rotated, or while the key-encryption key is not where it was."""

import pytest

from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.vault.register import Owner
from app.vault.seal import Key
from tests.support.service_fixture import RunningService


def test_a_key_that_is_rotated_while_it_is_fetched_is_not_missed(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, fetch = service.vault.register, service.vault.register.key
    rotated: list[str] = []

    def late(owner: Owner, generation: int = 1) -> Key:
        if not rotated:
            rotated.append("")
            rotated.append(signing_keys.rotate(service.vault, now=service.clock()).thumbprint)
        return fetch(owner, generation)

    monkeypatch.setattr(register, "key", late)
    signer = signing_keys.load_signer(service.vault, KeyUse.RECEIPTS)

    assert rotated[1:] == [signer.thumbprint]


def test_what_is_public_is_answered_and_an_end_recorded_while_the_file_of_the_key_is_away(
    service: RunningService,
) -> None:
    """The running service still has the key; only whoever starts one does not."""
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    file = service.root / "keys" / "kek"
    file.rename(file.with_name("away"))
    asked = [service.client.get(path).status_code for path in ("/v1/log/checkpoint", "/.well-known/jwks.json")]
    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()

    assert service.client.get("/readyz").status_code == 503
    assert asked == [200, 200]
    assert (ended["state"], ended["receipt"] is not None) == ("withdrawn", True)
