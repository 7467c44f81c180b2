"""Open both stores, and refuse a pair that does not belong together."""

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select

from app.db.migrate import at_head, refuse_newer, upgrade
from app.db.sqlite.store import Store
from app.settings import Settings
from app.vault import restore_history
from app.vault.key_encryption_keys import Given, KekFile, Ring
from app.vault.register import Register
from app.vault.tables import BoundTo, Origin
from app.vault.vault import ForeignRegisterError, Vault

DATA_FILE = "mien.db"
REGISTER_FILE = "register.db"
KEK_FILE = "kek"


class SchemaError(Exception):
    """A store is not at the newest schema."""


def open_vault(settings: Settings) -> Vault:
    """Open the data store and the register. New ones are made, and a new key-encryption key, but never for old data.

    Raises:
        KekError: there is no usable key-encryption key.
        ForeignRegisterError: there is data, but its register is not there.
    """
    data = Store(settings.data_dir / DATA_FILE, busy_s=settings.sqlite_busy_s)
    path = settings.register_dir / REGISTER_FILE
    with ExitStack() as undone:
        undone.callback(data.close)
        if not path.exists() and not data.is_empty():
            _check_unbound(data, path)
        register = Store(path, busy_s=settings.sqlite_busy_s)
        undone.callback(register.close)
        vault = Vault(data, Register(register, _ring(settings, register)), settings)
        undone.pop_all()
    return vault


def _ring(settings: Settings, register: Store) -> Ring:
    if settings.kek is not None:
        following = settings.kek_next
        return Ring(Given(settings.kek.get_secret_value(), None if following is None else following.get_secret_value()))
    file = KekFile(settings.kek_file or settings.register_dir / KEK_FILE)
    if not _has_origin(register):
        file.make_first()
    return Ring(file)


def _has_origin(register: Store) -> bool:
    """Say whether the register has a key-encryption key already: a new one would only hide that it is lost."""
    if register.is_empty():
        return False
    with register.read() as session:
        return session.scalar(select(Origin.id)) is not None


def _check_unbound(data: Store, register: Path) -> None:
    with data.read() as session:
        bound = session.scalar(select(BoundTo.origin_id)) is not None
    if bound:
        raise _no_register(data.path.parent, register.parent)


def is_new(vault: Vault) -> bool:
    """Return whether the data store was never set up, or only in part."""
    return vault.data.is_empty() or vault.bound_to() is None


def migrate(vault: Vault) -> None:
    """Bring both stores to the newest schema.

    Raises:
        NewerSchemaError: one is of a newer version.
        ForeignRegisterError: there is data, but its register is not there.
    """
    _check_register_is_there(vault)
    stores = (vault.register.store, vault.data)
    # Check both stores before changing either.
    for store in stores:
        refuse_newer(store)
    for store in stores:
        upgrade(store)


def _check_register_is_there(vault: Vault) -> None:
    if vault.register.store.is_empty() and not is_new(vault):
        raise _no_register(vault.data.path.parent, vault.register.store.path.parent)


def _no_register(data_dir: Path, register_dir: Path) -> ForeignRegisterError:
    return ForeignRegisterError(
        f"there is data in {data_dir} but no register in {register_dir}; without its keys every row would be taken for "
        "erased. Point MIEN_KEYS_DIR to the register of this data"
    )


def check(vault: Vault) -> None:
    """Refuse to work on stores that are not ready for this version.

    Raises:
        SchemaError: one is not at the newest schema.
        NewerSchemaError: one is of a newer version.
        ForeignRegisterError: they do not belong together.
        KekError: the key-encryption key is another one than the register's.
        BackupError: the data is an old copy that was not restored by `mien restore`.
    """
    _check_register_is_there(vault)
    for store in (vault.data, vault.register.store):
        refuse_newer(store)
    if not (at_head(vault.data) and at_head(vault.register.store)):
        msg = "the databases are of an older version of Mien; run `mien migrate`"
        raise SchemaError(msg)
    vault.check_bound()
    restore_history.check(vault)
