"""An erasure on PostgreSQL says what the servers keep, until the key-encryption key has turned."""

from pathlib import Path

import pytest
from sqlalchemy import select

from app.jobs.maintenance import run_maintenance
from app.jobs.turn_key_encryption_key import turn
from app.vault.seal import SealError
from app.vault.tables import KeySlot
from tests.support.byte_scan import Needles, files_under
from tests.support.postgres_clusters import Clusters, Databases
from tests.support.service_fixture import SharedPool, serving
from tests.support.toy_engine import toy_card

OLD_VERSIONS, SERVER_SPACE = (
    "old versions of rows on the database servers",
    "unused space and logs of the database servers",
)


@pytest.mark.service
@pytest.mark.parametrize("hours", [0, 24])
def test_kept_names_the_old_versions_until_the_turn(
    databases: Databases, clusters: Clusters, tmp_path: Path, pool: SharedPool, hours: int
) -> None:
    with serving(
        tmp_path, pool, toy_card(), background=False, kek_rotate_hours=hours, **databases.settings()
    ) as service:
        person, _, _ = service.enrolled()
        register = service.vault.register
        with register.store.read() as session:
            before = {
                slot.slot: (slot.wrapped, slot.owner, slot.generation) for slot in session.scalars(select(KeySlot))
            }
        erased = person("DELETE", "/v1/me")
        with register.store.read() as session:
            destroyed = [slot.slot for slot in session.scalars(select(KeySlot)) if not any(slot.wrapped)]
        first, ready = erased.json(), service.client.get("/readyz").json()
        gone = [before[slot] for slot in destroyed if any(before[slot][0])]
        old = register.keks.first
        service.clock.advance(hours=25)
        turn(register, now=service.clock())
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        second = service.client.get(f"/v1/erasures/{first['erasure_id']}").json()
        live = register.keks.source.read()

    assert (first["status"], second["status"]) == ("completed", "completed")
    assert {OLD_VERSIONS, SERVER_SPACE} <= {item["what"] for item in first["kept"]}
    assert [item["what"] for item in second["kept"] if item["what"] in {OLD_VERSIONS, SERVER_SPACE}] == [SERVER_SPACE]
    assert len(gone) >= 2, "the keys of the subject and of the consent, which seals the template"
    assert any("no clock turns" in warning for warning in ready["warnings"]) == (hours == 0)
    assert Needles().raw("wrapped", *(wrapped for wrapped, _, _ in gone)).found(files_under(clusters.register.data))
    for wrapped, owner, generation in gone:
        context = f"key:{owner.hex()}:{generation}"
        old.unwrap(wrapped, context)
        for kek in live:
            with pytest.raises(SealError):
                kek.unwrap(wrapped, context)
