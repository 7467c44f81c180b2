"""`mien verify-receipt`: whether a receipt holds, offline. It opens no store, reads no setting and calls nobody."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.command import Json, answer, refuse
from app.kit.text import readable
from app.transparency.verify import bundle, jwks
from app.transparency.verify import service as verifying

app = typer.Typer()

FINGERPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def _fingerprints(given: list[str]) -> list[str]:
    for one in given:
        if FINGERPRINT.fullmatch(one) is None:
            msg = f"{one!r} is no fingerprint: they have 43 letters, digits, - and _"
            raise typer.BadParameter(msg)
    return given


@app.command("verify-receipt")
def verify_receipt(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The receipt, as it was handed over or exported; - reads it from input."),
    ],
    key_file: Annotated[
        Path, typer.Option("--jwks", metavar="FILE", help="The public keys, as /.well-known/jwks.json gave them.")
    ],
    fingerprints: Annotated[
        list[str] | None,
        typer.Option(
            "--fingerprint",
            metavar="F",
            callback=lambda given: _fingerprints(given or []),
            help="A key that you noted from elsewhere (RFC 7638); may be repeated. No other key is believed.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say whether a receipt holds: signed by that key, unchanged, and in the log. Needs no network and no service.

    Without --fingerprint the key file is believed as it is. Exits 0 if it holds, 1 if not.
    See docs/reference/receipts.md.
    """
    verdict = verifying.verify_receipt(
        _read(file, most=bundle.MAX_BUNDLE_BYTES),
        jwks=_read(key_file, most=jwks.MAX_JWKS_BYTES),
        fingerprints=fingerprints or [],
    )
    if not verdict.valid and not as_json:
        refuse(verdict.reason)
    found = {name: value for name, value in asdict(verdict).items() if value is not None}
    answer(found if as_json else {name: _shown(value) for name, value in found.items()}, as_json=as_json)
    if not verdict.valid:
        raise typer.Exit(1)


def _shown(value: object) -> str:
    """Show a value on a terminal, which must not obey it: whoever made the key file may have signed anything."""
    return "".join(one if readable(one) else "\N{REPLACEMENT CHARACTER}" for one in str(value))


def _read(file: Path, *, most: int) -> bytes:
    """Read one byte more than is let through, so that what is too large is seen to be."""
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(most + 1)
        with file.open("rb") as content:
            return content.read(most + 1)
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}")
