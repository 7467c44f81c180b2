"""The manifest of a backup: the file that describes its database."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from app.kit.errors import OperatorError
from app.kit.files import open_regular
from app.vault.seal import MacKey

MANIFEST_FILE = "manifest.json"
LAST_BACKUP_FILE = "last-backup"
"""An empty file in the data directory; its time is that of the last backup."""
FORMAT = 2
MAX_BYTES = 64 * 1024


class BackupError(OperatorError):
    """A backup cannot be created or restored; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `manifest.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    format: Literal[1, 2]
    """1 has no authentication code: versions before 0.3 made it, or this one from a register of such a version."""
    made_at: AwareDatetime
    mien_version: str
    schema: str
    """The newest migration of the database."""
    origin_id: UUID
    """The id of the register with the keys of the backup."""
    file: Literal["mien.db"]
    size: int
    sha256: str
    manifest_sha256: str = ""
    """The digest of all other fields but the next."""
    mac: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The authentication code of the same fields, in hexadecimal; empty in format 1."""

    def with_digest(self) -> Self:
        """Return a copy with its digest, which reveals damage; it does not prove the author."""
        return replace(self, manifest_sha256=self._digest())

    def with_mac(self, key: MacKey) -> Self:
        """Return a copy with its digest and its authentication code."""
        return replace(self.with_digest(), mac=key.code(self._content()).hex())

    def is_authentic(self, key: MacKey) -> bool:
        """Return whether a holder of *key* made the manifest, and so the backup."""
        return key.fits(self._content(), bytes.fromhex(self.mac))

    def is_whole(self) -> bool:
        """Return whether no field has changed."""
        return self.manifest_sha256 == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        fields = {name: str(value) for name, value in sorted(asdict(replace(self, manifest_sha256="")).items())}
        # Format 1 had no such field.
        del fields["mac"]
        return repr(fields).encode()

    def to_json(self) -> str:
        """Return the content of the file."""
        return _MANIFEST.dump_json(self, indent=1).decode() + "\n"


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_FIELDS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def read(directory: Path) -> Manifest:
    """Read the manifest of the backup in *directory*.

    Raises:
        BackupError: there is none, it is damaged, or a newer version wrote it.
    """
    try:
        with open_regular(directory / MANIFEST_FILE) as file:
            written = file.read(MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{directory} is not a backup: it has no {MANIFEST_FILE}"
        raise BackupError(msg) from error
    damaged = f"the backup is damaged: its {MANIFEST_FILE} was changed"
    try:
        fields = _FIELDS.validate_json(written)
        if isinstance(fields.get("format"), int) and fields["format"] > FORMAT:
            msg = f"the backup was made by a newer version of Mien ({fields.get('mien_version')}); use that version"
            raise BackupError(msg)
        manifest = _MANIFEST.validate_json(written)
    except ValidationError as error:
        raise BackupError(damaged) from error
    if not manifest.is_whole():
        raise BackupError(damaged)
    return manifest
