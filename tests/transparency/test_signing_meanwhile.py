"""Signing during a rotation, and while the file of the key-encryption key is missing."""

import pytest

from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.transparency.verify.jws import thumbprint
from app.vault.register import Owner
from app.vault.seal import Key
from tests.support.service_fixture import RunningService


def test_a_key_that_is_rotated_between_two_reads_is_read_again(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, fetch = service.vault.register, service.vault.register.key
    rotated: list[str] = []

    def rotate_first(owner: Owner, generation: int = 1) -> Key:
        if not rotated:
            rotated.append("")
            rotated.append(signing_keys.rotate(service.vault, now=service.clock()).thumbprint)
        return fetch(owner, generation)

    monkeypatch.setattr(register, "key", rotate_first)
    private = signing_keys.load_private_key(service.vault, KeyUse.RECEIPTS)

    assert rotated[1:] == [thumbprint(private.public_key().public_bytes_raw())]


def test_a_running_service_signs_while_the_file_of_the_key_encryption_key_is_missing(
    service: RunningService,
) -> None:
    """The running service has the key in memory. A start would fail."""
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    file = service.root / "keys" / "kek"
    file.rename(file.with_name("away"))
    statuses = [service.client.get(path).status_code for path in ("/v1/log/checkpoint", "/.well-known/jwks.json")]
    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()

    assert service.client.get("/readyz").status_code == 503
    assert statuses == [200, 200]
    assert (ended["state"], ended["receipt"] is not None) == ("withdrawn", True)
