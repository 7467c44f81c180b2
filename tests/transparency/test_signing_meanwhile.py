"""Signing while the keys are rotated, or while the key-encryption key is not where it was."""

import pytest

from app.transparency.log import signing_keys
from app.transparency.tables import Signs
from app.vault.register import Owner
from app.vault.seal import Key
from tests.support.service_fixture import House


def test_a_key_that_is_rotated_while_it_is_fetched_is_not_missed(mien: House, monkeypatch: pytest.MonkeyPatch) -> None:
    register, fetch = mien.vault.register, mien.vault.register.key
    rotated: list[str] = []

    def late(owner: Owner, generation: int = 1) -> Key:
        if not rotated:
            rotated.append("")
            rotated.append(signing_keys.rotate(mien.vault, now=mien.clock()).thumbprint)
        return fetch(owner, generation)

    monkeypatch.setattr(register, "key", late)
    signer = signing_keys.signer(mien.vault, Signs.RECEIPTS)

    assert rotated[1:] == [signer.thumbprint]


def test_what_is_public_is_answered_and_an_end_recorded_while_the_file_of_the_key_is_away(mien: House) -> None:
    """The running service still has the key; only whoever starts one does not."""
    person, party = mien.person(), mien.party()
    consent = mien.consent(person, party)
    file = mien.root / "keys" / "kek"
    file.rename(file.with_name("away"))
    asked = [mien.client.get(path).status_code for path in ("/v1/log/checkpoint", "/.well-known/jwks.json")]
    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()

    assert mien.client.get("/readyz").status_code == 503
    assert asked == [200, 200]
    assert (ended["state"], ended["receipt"] is not None) == ("withdrawn", True)
