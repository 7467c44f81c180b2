"""What time leaves to be done: counts that do not count any more."""

from collections.abc import Iterator
from datetime import datetime

from app.comparisons import enumeration_guard, failed_attempts
from app.kit.crash_points import operation
from app.vault.register import Owner
from app.vault.vault import Vault


@operation("forgetting counts")
def forget(vault: Vault, *, now: datetime) -> int:
    """Delete the failures that do not count any more, of people and of relying parties. Returns of how many."""
    return failed_attempts.forget(vault, now=now) + enumeration_guard.forget(vault, now=now)


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:  # noqa: ARG001 - as every room's
    """Give the key that counts are sealed under: a restore does not take it away."""
    yield {enumeration_guard.KEY_OWNER: {1}}
