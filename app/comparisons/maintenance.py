"""Maintenance of the failure counts."""

from collections.abc import Iterator
from datetime import datetime

from app.comparisons import enumeration_guard, failed_attempts
from app.kit.crash_points import operation
from app.settings import Settings
from app.vault.register import Owner
from app.vault.vault import Vault


@operation("deleting expired failure counts")
def delete_expired_counts(vault: Vault, settings: Settings, *, now: datetime) -> int:
    """Delete failures that no longer count. Returns the number of subjects and relying parties that had any."""
    return failed_attempts.delete_expired(vault, now=now) + enumeration_guard.delete_expired(vault, settings, now=now)


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:  # noqa: ARG001 - the signature of every room's
    """Return the key of the enumeration guard, which a restore must not destroy."""
    yield {enumeration_guard.KEY_OWNER: {1}}
