"""The manifest of a backup: its register, its schema, and the size and digest of its database."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

MANIFEST_FILE = "manifest.json"
FORMAT = 1
LONGEST = 64 * 1024
"""The most bytes that a manifest may have."""


class BackupError(Exception):
    """A backup cannot be made or used; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `manifest.json`, the file beside the database of a backup."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    format: Literal[1]
    made_at: AwareDatetime
    mien_version: str
    schema: str
    """The newest migration that the database has."""
    origin_id: UUID
    """The register with the keys of its rows."""
    file: Literal["mien.db"]
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file."""
    manifest_sha256: str = ""
    """Of all the above."""

    def with_digest(self) -> Self:
        """Return it with its own digest: no proof of who wrote it, but of every accident since."""
        return replace(self, manifest_sha256=self._digest())

    def is_whole(self) -> bool:
        """Say whether it is as it was written."""
        return self.manifest_sha256 == self._digest()

    def _digest(self) -> str:
        fields = {name: str(value) for name, value in sorted(asdict(replace(self, manifest_sha256="")).items())}
        return hashlib.sha256(repr(fields).encode()).hexdigest()

    def written(self) -> str:
        """Return what is written to the file."""
        return _MANIFEST.dump_json(self, indent=1).decode() + "\n"


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_FIELDS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def read(directory: Path) -> Manifest:
    """Read the manifest of the backup in *directory*.

    Raises:
        BackupError: there is none, it is damaged, or of a newer version.
    """
    try:
        with (directory / MANIFEST_FILE).open("rb") as file:
            written = file.read(LONGEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{directory} is no backup: it has no {MANIFEST_FILE}"
        raise BackupError(msg) from error
    damaged = f"the backup is damaged: its {MANIFEST_FILE} is not as it was written"
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
