"""Open both stores, and refuse a pair that does not belong together."""

from app.kit.db import Store
from app.kit.migrate import at_head, refuse_newer, upgrade
from app.kit.settings import Settings
from app.vault.register import Register
from app.vault.seal import load_kek
from app.vault.vault import ForeignRegisterError, Vault

DATA_FILE = "mien.db"
REGISTER_FILE = "register.db"
KEK_FILE = "kek"


class SchemaError(Exception):
    """A store is not at the newest schema."""


def open_vault(settings: Settings) -> Vault:
    """Open the data store and the register; nothing is read or written yet.

    Raises:
        KekError: there is no usable key-encryption key.
    """
    data = Store(settings.data_dir / DATA_FILE, busy_s=settings.sqlite_busy_s)
    register = Store(settings.register_dir / REGISTER_FILE, busy_s=settings.sqlite_busy_s)
    value = None if settings.kek is None else settings.kek.get_secret_value()
    kek = load_kek(value=value, file=settings.kek_file or settings.register_dir / KEK_FILE)
    return Vault(data, Register(register, kek))


def is_new(vault: Vault) -> bool:
    """Say whether the data store was never set up, or only half."""
    return vault.data.is_empty() or vault.bound_to() is None


def migrate(vault: Vault) -> None:
    """Bring both stores to the newest schema.

    Raises:
        NewerSchemaError: one is of a newer version.
        ForeignRegisterError: there is data, but its register is not there.
    """
    _check_register_is_there(vault)
    stores = (vault.register.store, vault.data)
    # Both are looked at before either is changed.
    for store in stores:
        refuse_newer(store)
    for store in stores:
        upgrade(store)


def _check_register_is_there(vault: Vault) -> None:
    if vault.register.store.is_empty() and not is_new(vault):
        msg = (
            f"there is data in {vault.data.path.parent} but no register in {vault.register.store.path.parent}; without "
            "its keys every row would be taken for erased. Point MIEN_KEYS_DIR to the register of this data"
        )
        raise ForeignRegisterError(msg)


def check(vault: Vault) -> None:
    """Refuse to work on stores that are not ready for this version.

    Raises:
        SchemaError: one is not at the newest schema.
        NewerSchemaError: one is of a newer version.
        ForeignRegisterError: they do not belong together.
        KekError: the key-encryption key is another one than the register's.
    """
    _check_register_is_there(vault)
    for store in (vault.data, vault.register.store):
        refuse_newer(store)
    if not (at_head(vault.data) and at_head(vault.register.store)):
        msg = "the databases are of an older version of Mien; run `mien migrate`"
        raise SchemaError(msg)
    vault.check_bound()
