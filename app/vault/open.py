"""Open both stores, and refuse a pair that does not belong together."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url, select

from app.db.migrate import at_head, pinned_schema, refuse_newer, upgrade
from app.db.postgres.store import PostgresStore
from app.db.sqlite.store import SqliteStore
from app.db.store import Store
from app.kit.errors import OperatorError
from app.kit.process_memory import protect_process
from app.settings import MIB, Settings
from app.vault import restore_history
from app.vault.kek_file import KekFile
from app.vault.key_encryption_keys import AvailableKeks, KekSettings
from app.vault.register import Register
from app.vault.tables import Origin
from app.vault.vault import ForeignRegisterError, Vault, bound_to

DATA_FILE = "mien.db"
REGISTER_FILE = "register.db"
KEK_FILE = "kek"
MOVED_FILE = "moved-to-postgresql.json"
"""A note in the data directory: `mien move` has copied the files, and PostgreSQL is in use instead."""


class SchemaError(OperatorError):
    """A store is not at the newest schema."""


class MovedError(OperatorError):
    """The files were moved to PostgreSQL, which would lack every later change to them."""

    def __init__(self, note: Path) -> None:
        super().__init__(
            f"the data in {note.parent} was moved to PostgreSQL: set MIEN_DATABASE_URL and MIEN_REGISTER_URL. Remove "
            f"{note.name} only to go back to the state before the move"
        )


class ExposedStoreError(OperatorError):
    """Another user could read or change a store."""


def open_vault(settings: Settings) -> Vault:
    """Open both stores. Create missing stores and a missing key-encryption key, but no register for existing data.

    Raises:
        KekError: there is no usable key-encryption key.
        ForeignRegisterError: there is data without its register.
        MovedError: the files were moved to PostgreSQL.
    """
    # Before the key-encryption key is read, by whichever program.
    protect_process()
    data = _open_data(settings)
    path = settings.register_dir / REGISTER_FILE
    with ExitStack() as opened:
        opened.callback(data.close)
        if settings.register_url is None and not path.exists() and bound_to(data) is not None:
            raise _no_register(data, path)
        register = _open_register(settings, ballast_mib=settings.ending_ballast_mib)
        opened.callback(register.close)
        vault = Vault(data, Register(register, _available_keks(settings, register)))
        opened.pop_all()
    return vault


def _open_data(settings: Settings) -> Store:
    if settings.database_url is not None:
        return _open_postgres(settings, settings.database_url, "mien")
    if (note := settings.data_dir / MOVED_FILE).exists():
        raise MovedError(note)
    return SqliteStore(
        settings.data_dir / DATA_FILE,
        busy_s=settings.sqlite_busy_s,
        ballast_bytes=settings.ending_ballast_mib * MIB,
        schema=pinned_schema("mien"),
    )


def _open_register(settings: Settings, *, ballast_mib: int = 0) -> Store:
    if settings.register_url is not None:
        return _open_postgres(settings, settings.register_url, "register")
    return SqliteStore(
        settings.register_dir / REGISTER_FILE,
        busy_s=settings.sqlite_busy_s,
        ballast_bytes=ballast_mib * MIB,
        schema=pinned_schema("register"),
    )


def _open_postgres(settings: Settings, url: SecretStr, name: str) -> Store:
    return PostgresStore(
        make_url(url.get_secret_value()),
        name=name,
        busy_s=settings.sqlite_busy_s,
        schema=pinned_schema(name, "postgresql"),
    )


def _available_keks(settings: Settings, register: Store) -> AvailableKeks:
    if settings.kek is not None:
        following = settings.kek_next.get_secret_value() if settings.kek_next else None
        return AvailableKeks(KekSettings(settings.kek.get_secret_value(), following))
    if settings.kek_transit is not None and settings.kek_transit_token_file is not None:
        # Its HTTP client takes a tenth of a second to import.
        transit = import_module("app.vault.transit_kek")
        return AvailableKeks(transit.TransitKek(settings.kek_transit, settings.kek_transit_token_file))
    file = KekFile(settings.kek_file or settings.register_dir / KEK_FILE)
    if not _has_origin(register):
        file.make_first()
    return AvailableKeks(file)


def _has_origin(register: Store) -> bool:
    """Return whether the register already has a key-encryption key: a new one would hide the loss of the first."""
    if register.is_empty():
        return False
    with register.read() as session:
        return session.scalar(select(Origin.id)) is not None


@contextmanager
def opened_register(settings: Settings) -> Iterator[Register]:
    """Open the register alone. It must exist."""
    store = _open_register(settings)
    try:
        yield Register(store, _available_keks(settings, store))
    finally:
        store.close()


def find_exposed_files(vault: Vault) -> list[str]:
    """Return each directory and file of the stores that another user could read or change, with the next step."""
    # Both stores may be in one directory.
    found = (reason for store in (vault.data, vault.register.store) for reason in store.find_exposure())
    return list(dict.fromkeys(found))


def refuse_exposed(vault: Vault) -> None:
    """Refuse stores that another user could read or change.

    Raises:
        ExposedStoreError: one is open to other users, or belongs to one.
    """
    if found := find_exposed_files(vault):
        raise ExposedStoreError("; ".join(found))


def has_unmoved_files(data_dir: Path) -> bool:
    """Return whether a directory has SQLite data that was not moved to PostgreSQL."""
    return (data_dir / DATA_FILE).exists() and not (data_dir / MOVED_FILE).exists()


def is_new(vault: Vault) -> bool:
    """Return whether the data store was never set up, or only in part."""
    return bound_to(vault.data) is None


def migrate(vault: Vault) -> None:
    """Bring both stores to the newest schema.

    Raises:
        NewerSchemaError: a newer version wrote one of them.
        ForeignRegisterError: there is data without its register.
        ChangedSchemaError: another program changed a schema.
    """
    _check_register_is_there(vault)
    stores = (vault.register.store, vault.data)
    # Check both stores before changing either.
    for store in stores:
        refuse_newer(store)
    for store in stores:
        upgrade(store)
        store.check_schema()


def _check_register_is_there(vault: Vault) -> None:
    if vault.register.store.is_empty() and not is_new(vault):
        raise _no_register(vault.data, vault.register.store.place)


def _no_register(data: Store, register: Path | str) -> ForeignRegisterError:
    return ForeignRegisterError(
        f"there is data in {data.place} but no register in {register}; without its keys every row would be treated "
        "as erased. Set MIEN_KEYS_DIR to the register of this data"
    )


def check(vault: Vault, *, any_schema: bool = False) -> None:
    """Refuse stores that this version cannot use as they are.

    Args:
        vault: both stores.
        any_schema: whether other programs may have changed the schemas, as for an audit.

    Raises:
        SchemaError: one has an older schema.
        NewerSchemaError: a newer version wrote one of them.
        ChangedSchemaError: another program changed a schema.
        UnsafeFileError: a file was removed or replaced since it was opened.
        ForeignRegisterError: they do not belong together.
        KekError: the key-encryption key does not belong to the register.
        BackupError: the data is an old copy that was not restored by `mien restore`.
    """
    _check_register_is_there(vault)
    for store in (vault.data, vault.register.store):
        refuse_newer(store)
    if not (at_head(vault.data) and at_head(vault.register.store)):
        msg = "an older version of Mien wrote the databases; run `mien migrate`"
        raise SchemaError(msg)
    for store in (vault.data, vault.register.store):
        store.check_place()
        if not any_schema:
            store.check_schema()
    vault.check_bound()
    restore_history.check(vault)
