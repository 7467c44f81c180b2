"""Move an installation from its SQLite files to the two PostgreSQL databases of the settings.

* The lock of the data directory keeps the service and all commands out. The files are only read.
* The first change in a target names the content of the files in its schema version: until everything is verified, no
  program of any version starts on it. An interrupted move of the same content goes on where it ended.
* Rows are compared by `app.db.row_digests`, which shares no code with the copying. Authentication codes depend on the
  database, so they are checked in the files, computed anew, and checked again.
* A note beside the files tells that they were moved. From then on nothing opens them.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import MetaData, Table, func, not_, select

from app.db.migrate import UNFINISHED, at_head, revision, revisions, set_revision, upgrade
from app.db.postgres.copied_rows import continue_numbers, insert_copied
from app.db.row_digests import TableDigest, table_digests
from app.db.sqlite.files import SIDE_FILES
from app.db.store import Store, unlimited_reads
from app.db.types import Row
from app.kit.crash_points import operation, step
from app.kit.errors import OperatorError
from app.kit.files import destroy_file, open_regular, replace_file
from app.kit.progress import Progress
from app.settings import Settings
from app.transparency.log import service as transparency_log
from app.vault.authentic_rows import AuthenticRow, ForgedRowError, is_authentic, sign_older
from app.vault.directory_lock import alone
from app.vault.open import DATA_FILE, MOVED_FILE, REGISTER_FILE, check, open_vault
from app.vault.tables import RegisterRow
from app.vault.vault import Vault

PAGE = 500
"""Rows for each transaction: some MiB with photos."""
CODE = frozenset({"mac"})
"""The column that is computed anew."""


class MoveError(OperatorError):
    """The move is refused, or failed; the files are as before."""


class _Pair(NamedTuple):
    """A store of the files, its target, and the digests of the tables in the files."""

    source: Store
    target: Store
    metadata: MetaData
    expected: dict[str, TableDigest]


class MoveResult(NamedTuple):
    """The result of a move."""

    rows: int
    log_size: int
    """The size of the transparency log, which goes on."""


@operation("move")
def move(settings: Settings, *, now: datetime, progress: Progress) -> MoveResult:
    """Copy every row to the databases of the settings, verify them, and put the databases in force.

    Raises:
        MoveError: there are no files, a target is not empty, or its rows differ from those of the files.
        ForgedRowError: another program changed a row of the files.
        OperatorError: the files are in use, moved already, of another version, or do not belong together.
    """
    if not (settings.data_dir / DATA_FILE).exists():
        raise MoveError(f"there is no SQLite data in {settings.data_dir}: set MIEN_DATA_DIR to the files to move")
    with alone(settings.data_dir), _opened(_of_files(settings)) as source, _opened(settings) as target:
        check(source)
        _refuse_forged(source.data)
        progress("reading the files")
        pairs = [
            # The register first: no data is ever there without its keys.
            _pair(source.register.store, target.register.store, RegisterRow.metadata),
            _pair(source.data, target.data, Row.metadata),
        ]
        mark = UNFINISHED + hashlib.sha256(repr([pair.expected for pair in pairs]).encode()).hexdigest()[:24]
        for pair in pairs:
            _refuse_occupied(pair, mark)
        for pair in pairs:
            _prepare(pair.target, mark)
        for pair in pairs:
            for table in pair.metadata.sorted_tables:
                _copy(pair, table, progress)
            _verify(pair)
        progress("computing the authentication codes")
        size = _finish(settings)
        note = {"moved_at": now.isoformat(), "origin_id": str(source.register.origin_id()), "log_size": size}
        replace_file(settings.data_dir / MOVED_FILE, json.dumps(note).encode(), permissions=0o600)
        step("note of the move written")
    return MoveResult(sum(digest.rows for pair in pairs for digest in pair.expected.values()), size)


def _finish(settings: Settings) -> int:
    """Put the databases in force, now that the register has its keys. Returns the size of the transparency log."""
    with _opened(settings) as target:
        with target.data.write() as session:
            sign_older(session)
        _refuse_forged(target.data)
        transparency_log.check_not_rolled_back(target)
        for store in (target.register.store, target.data):
            set_revision(store, revisions(store.name)[-1])
        check(target)
        return transparency_log.latest_head(target).size


def _of_files(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": None, "register_url": None})


@contextmanager
def _opened(settings: Settings) -> Iterator[Vault]:
    # Everything is read once, which may take longer than a request may.
    with closing(open_vault(settings)) as vault, unlimited_reads():
        yield vault


def _pair(source: Store, target: Store, metadata: MetaData) -> _Pair:
    return _Pair(source, target, metadata, table_digests(source.reader, leave_out=CODE))


def _refuse_forged(data: Store) -> None:
    for row in AuthenticRow.__subclasses__():
        with data.read() as session:
            if session.scalar(select(func.count()).where(not_(is_authentic(row)))):
                raise ForgedRowError(row.__table__.name)


def _refuse_occupied(pair: _Pair, mark: str) -> None:
    """Refuse a target with content of its own."""
    if pair.target.is_empty() or revision(pair.target) == mark:
        return
    found = table_digests(pair.target.reader, leave_out=CODE)
    if any(digest.rows for digest in found.values()) and not (at_head(pair.target) and found == pair.expected):
        msg = (
            f"{pair.target.place} is not empty, and has no unfinished move of these files as they are now: "
            "name an empty database, or drop and create this one"
        )
        raise MoveError(msg)


def _prepare(target: Store, mark: str) -> None:
    if target.is_empty():
        upgrade(target)
    set_revision(target, mark)


def _copy(pair: _Pair, table: Table, progress: Progress) -> None:
    """Copy the rows of a table that the target lacks. Rows are copied in one order, so it has the first ones."""
    total = pair.expected[table.name].rows
    with pair.target.read() as session:
        done = session.execute(select(func.count()).select_from(table)).scalar_one()
    columns = [column for column in table.columns if column.name not in CODE]
    rows = select(*columns).order_by(*table.primary_key.columns).offset(done)
    with pair.source.read() as reading:
        for page in reading.execute(rows, execution_options={"yield_per": PAGE}).mappings().partitions(PAGE):
            progress(f"copying {table.name}: {done} of {total}")
            with pair.target.write() as writing:
                insert_copied(writing, table, [dict(row) for row in page])
            done += len(page)
    if (column := table.autoincrement_column) is not None:
        with pair.target.write() as writing:
            continue_numbers(writing, column)


def _verify(pair: _Pair) -> None:
    found = table_digests(pair.target.reader, leave_out=CODE)
    if different := sorted(name for name in pair.expected | found if pair.expected.get(name) != found.get(name)):
        msg = (
            f"the copy in {pair.target.place} differs from the files in {', '.join(different)}. The files are as "
            "before: drop and create both databases, then run the command again"
        )
        raise MoveError(msg)


def is_moved(settings: Settings) -> bool:
    """Return whether the files in the data directory were moved, and are still there."""
    return (settings.data_dir / MOVED_FILE).exists()


@operation("remove moved files")
def destroy_moved(settings: Settings) -> list[Path]:
    """Overwrite and remove the files of both stores, which were moved. The key-encryption key stays: it is in use.

    Raises:
        MoveError: they were moved to other databases.
        OperatorError: the databases cannot be used, or the files are in use.
    """
    note_file = settings.data_dir / MOVED_FILE
    with alone(settings.data_dir), _opened(settings) as target:
        with open_regular(note_file) as opened:
            note = json.load(opened)
        check(target)
        size = transparency_log.latest_head(target).size
        if target.register.origin_id() != UUID(note["origin_id"]) or size < note["log_size"]:
            raise MoveError(
                "the databases are not those that the files were moved to, or are older: nothing was removed"
            )
        stores = (settings.register_dir / REGISTER_FILE, settings.data_dir / DATA_FILE)
        files = [file for store in stores for file in _files_of(store) if file.exists()]
        for file in files:
            destroy_file(file)
        # Last: until then an interrupted removal can be repeated.
        note_file.unlink()
    return files


def _files_of(store: Path) -> list[Path]:
    return [*(store.with_name(store.name + side) for side in ("", *SIDE_FILES)), store.with_suffix(".ballast")]
