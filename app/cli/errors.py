"""Errors that the operator can act on, each printed as one sentence: the path, the reason, and the next step."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from app.db.faults import describe_fault
from app.kit.errors import OperatorError
from app.kit.resources import locate_pages

SENTENCES = {
    errno.ENOENT: "{path} does not exist: check the path",
    errno.EISDIR: "{path} is a directory: name a file",
    errno.ENOTDIR: "{path} is no directory, or leads through a file: check the path",
    errno.EEXIST: "{path} already exists: name another path, or remove it",
    errno.ENOTEMPTY: "{path} is not empty: name another directory",
    errno.EACCES: "{path} cannot be used, for lack of permission: check the owner and mode of it and its directories",
    errno.EPERM: "{path} cannot be used, for lack of permission: check the owner and mode of it and its directories",
    errno.EROFS: "{path} is on a file system that is mounted read-only: name a path on another",
    errno.ENOSPC: "there is no space left for {path}: free some, then run the command again",
    errno.EDQUOT: "the quota leaves no space for {path}: free some, then run the command again",
    errno.EFBIG: "{path} would be larger than the limit for files: raise the limit (ulimit -f)",
    errno.EIO: "the disk cannot read or write {path}: check the disk",
    errno.ENAMETOOLONG: "{path} has too long a name: name a shorter path",
    errno.ELOOP: "{path} is a circle of symbolic links: check the path",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: end other programs",
    errno.EBUSY: "{path} is in use by another program: end that first",
    errno.ENOMEM: "there is too little memory: end other programs",
}
DATABASE_STEPS = {
    sqlite3.SQLITE_CANTOPEN: "check the owner and mode of the files in MIEN_DATA_DIR and MIEN_KEYS_DIR",
    sqlite3.SQLITE_READONLY: "check the owner and mode of the files in MIEN_DATA_DIR and MIEN_KEYS_DIR",
    sqlite3.SQLITE_FULL: "free some space, then run the command again",
    sqlite3.SQLITE_IOERR: "check the disk and its free space",
    sqlite3.SQLITE_BUSY: "another program has them open; try again, or end that",
    sqlite3.SQLITE_LOCKED: "another program has them open; try again, or end that",
}
"""The next step, by primary result code of SQLite."""


def refuse(why: str) -> NoReturn:
    """Print the reason on standard error and exit with 1."""
    typer.echo(f"mien: {locate_pages(why)}", err=True)
    raise typer.Exit(1)


def error_text(error: BaseException) -> str | None:
    """Return one sentence about an error that the operator can act on; None for any other error."""
    # An error of SQLAlchemy has the driver's error as `orig`; its own text quotes values, which may be personal.
    cause = getattr(error, "orig", error)
    if isinstance(cause, sqlite3.Error):
        return database_error_text(cause)
    if cause is not error and (fault := describe_fault(cause)) is not None:
        return "the databases cannot be used ({}): {}".format(*fault)
    if isinstance(error, OSError):
        return system_error_text(error)
    return str(error) if isinstance(error, OperatorError | UnicodeError) else None


@contextmanager
def refuse_on_error() -> Iterator[None]:
    """Print one sentence and exit with 1 if the block raises an error that the operator can act on."""
    try:
        yield
    except BrokenPipeError:
        # The reader of the output has ended; typer ends the command without a word.
        raise
    except Exception as error:
        why = error_text(error)
        if why is None:
            raise
        refuse(why)


def system_error_text(error: OSError) -> str:
    """Return the sentence for an error of the operating system."""
    about_target = error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
    named = (error.filename2 if about_target else None) or error.filename
    path = _quoted(named) if isinstance(named, str | bytes | os.PathLike) else None
    sentence = SENTENCES.get(error.errno or 0)
    if sentence is not None:
        return sentence.format(path=path or "a file")
    reason = error.strerror or str(error) or type(error).__name__
    return reason if path is None else f"{path}: {reason}"


def _quoted(path: str | bytes | os.PathLike[str]) -> str:
    """Return a path for one line on a terminal: control characters and bytes outside UTF-8 are escaped."""
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)


def database_error_text(error: sqlite3.Error) -> str:
    """Return the sentence for an error of SQLite."""
    step = DATABASE_STEPS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return f"the databases cannot be used: {error}" + (f": {step}" if step else "")
