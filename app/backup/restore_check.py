"""Check both stores after a restore or a failover that was made with the tools of the database.

A base backup or a standby can be older than the other store, without any trace. Each finding says in one line whether
law 3 still holds; the first that fails ends the check. The start of the service takes the same steps.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain
from typing import NamedTuple

from app.jobs.maintenance import KEYS_IN_USE, purge_dead_rows
from app.kit.errors import OperatorError
from app.settings import Settings
from app.startup import Run, prepare
from app.transparency.log import service as transparency_log
from app.vault import restore_history
from app.vault.dead_rows import live_slots, refuse_older_register
from app.vault.open import check
from app.vault.vault import Vault


class RestoreFinding(NamedTuple):
    """The result of one check."""

    name: str
    passed: bool
    text: str


def find(vault: Vault, settings: Settings, *, data_of: datetime | None, now: datetime) -> Iterator[RestoreFinding]:
    """Yield each finding, up to the first that fails.

    Args:
        vault: both stores.
        settings: the settings.
        data_of: the time whose state the data was restored to: everything given since is lost. None: it was not.
        now: the time of the check.
    """
    checks: tuple[tuple[str, Callable[[Vault], str]], ...] = (
        ("restore", partial(_record, data_of=data_of, now=now)),
        ("stores", _check_stores),
        ("register", _check_keys),
        ("transparency log", _check_log),
        ("dead rows", partial(_purge, settings=settings, now=now)),
    )
    for name, take in checks:
        try:
            yield RestoreFinding(name, passed=True, text=take(vault))
        except OperatorError as error:
            yield RestoreFinding(name, passed=False, text=str(error))
            return


def _record(vault: Vault, *, data_of: datetime | None, now: datetime) -> str:
    """Record the restore as `mien restore` does, so that the discarded changes cannot come back."""
    if data_of is not None:
        vault.check_bound()
        restore_history.refuse_discarded(vault, made_at=data_of)
        restore_history.mark(vault, made_at=data_of, now=now)
        transparency_log.record_restore(vault, made_at=data_of, now=now)
        return (
            f"to the state of {data_of:%Y-%m-%d %H:%M:%S} UTC, recorded; the next start destroys the keys of lost rows"
        )
    return "none to record (if the data went back in time: --data-of TIME)"


def _check_stores(vault: Vault) -> str:
    check(vault)
    return "they belong together, open with the key-encryption key, and have the schema of this version"


def _check_keys(vault: Vault) -> str:
    owners = 0
    for page in chain.from_iterable(room(vault) for room in KEYS_IN_USE):
        living = live_slots(vault, [owner.digest for owner in page])
        used = {(owner.digest, generation) for owner, generations in page.items() for generation in generations}
        refuse_older_register(vault, {key for key in used if key[1] not in living.get(key[0], {})})
        owners += len(page)
    return f"no older than the data: it has had the keys of all {owners} owners with rows"


def _check_log(vault: Vault) -> str:
    transparency_log.check_not_rolled_back(vault)
    seen, size = transparency_log.seen_size(vault), transparency_log.latest_head(vault).size
    return f"continues: {size} leaves, which begin with the {seen} that the data has seen"


def _purge(vault: Vault, *, settings: Settings, now: datetime) -> str:
    prepare(vault, settings, Run.COMMAND)
    return f"{purge_dead_rows(vault, settings=settings, now=now)} deleted; each start does so before it is ready"
