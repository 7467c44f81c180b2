"""`mien verify-receipt`: verify a receipt offline. It opens no store, reads no setting and uses no network."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.command import Json, print_result
from app.cli.errors import refuse
from app.kit.files import open_regular
from app.kit.text import clean_pasted_code, readable, to_utf8
from app.transparency.verify import bundle, jwks, service

app = typer.Typer()

FINGERPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def _check_fingerprints(fingerprints: list[str] | None) -> list[str]:
    cleaned = [clean_pasted_code(fingerprint) for fingerprint in fingerprints or []]
    for fingerprint in cleaned:
        if FINGERPRINT.fullmatch(fingerprint) is None:
            msg = f"{fingerprint!r} is no fingerprint: a fingerprint has 43 letters, digits, - and _"
            raise typer.BadParameter(msg)
    return cleaned


@app.command("verify-receipt")
def verify_receipt(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The receipt, as the service or an export gave it; - reads input.")
    ],
    key_file: Annotated[
        Path, typer.Option("--jwks", metavar="FILE", help="The public keys, as /.well-known/jwks.json gave them.")
    ],
    fingerprints: Annotated[
        list[str] | None,
        typer.Option(
            "--fingerprint",
            metavar="F",
            callback=_check_fingerprints,
            help="Trust only this key (RFC 7638), noted from another source; repeatable.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check that a receipt was signed by that key, is unchanged, and is in the transparency log. Works offline.

    Without --fingerprint every key in the key file is trusted. Exits 0 if the receipt is valid, 1 if not.
    See docs/reference/receipts.md.
    """
    verdict = service.verify_receipt(
        _read(file, limit=bundle.MAX_BUNDLE_BYTES),
        jwks=_read(key_file, limit=jwks.MAX_JWKS_BYTES),
        fingerprints=fingerprints or [],
    )
    if not verdict.valid and not as_json:
        refuse(verdict.reason)
    found = {name: value for name, value in asdict(verdict).items() if value is not None}
    print_result(found if as_json else {name: _printable(value) for name, value in found.items()}, as_json=as_json)
    if not verdict.valid:
        raise typer.Exit(1)


def _printable(value: object) -> str:
    """Replace control characters: the owner of the key file may have signed terminal commands."""
    return "".join(char if readable(char) else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def _read(file: Path, *, limit: int) -> bytes:
    """Read at most one byte more than the limit, so that the verifier sees that a file is too large."""
    if str(file) == "-":
        return to_utf8(sys.stdin.buffer.read(limit + 1))
    with open_regular(file, follow=True) as content:
        return to_utf8(content.read(limit + 1))
