"""Message authentication codes (MACs) under a key of the register, over stored data that other programs could change.

An attacker who can write a backup, but not the register, cannot make a code. One random key in the register gives a
separate key for each use (HKDF).
"""

from collections.abc import Iterator
from enum import StrEnum
from uuid import UUID

from app.vault.register import Owner, Register
from app.vault.seal import MacKey

KEY_OWNER = Owner.service(UUID("5d0c2f0e-6f61-4d3c-9b6b-0a3f6b9d2c71"))
"""Owner of the key from which the keys of all uses are derived. Each register has its own key."""


class MacUse(StrEnum):
    """The uses of a code. A code of one use fits no other."""

    MANIFEST = "backup manifest"
    ROW = "row"


def create_key(register: Register) -> None:
    """Create the key, if it does not exist."""
    if not register.keys_left([KEY_OWNER.digest]):
        register.issue(KEY_OWNER)


def mac_key(register: Register, use: MacUse) -> MacKey:
    """Return the key of one use.

    Raises:
        KeyGoneError: the register has no key yet.
    """
    return register.mac_key(KEY_OWNER, use=use)


def keys_in_use(_vault: object) -> Iterator[dict[Owner, set[int]]]:
    """Return the key, which a restore must not destroy."""
    yield {KEY_OWNER: {1}}
