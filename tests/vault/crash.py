"""A process that ends a consent and dies on the way: `python crash.py ROOT SUBJECT CONSENT POINT`.

It stands for a power cut: no `finally`, no commit, no goodbye.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import event

from app.consent import service as consent
from app.kit.settings import Settings
from app.vault.opening import open_vault

DIED = 77


def die(*_given: object, **_named: object) -> None:
    os._exit(DIED)


def main(root: Path, subject: str, consent_id: str, point: str) -> None:
    vault = open_vault(Settings(data_dir=root / "data", keys_dir=root / "keys"))
    if point == "before the register commits":
        event.listen(vault.register.store.writer, "commit", die)
    elif point == "between the two commits":
        event.listen(vault.data.writer, "commit", die)
    elif point == "after both, before the logs are emptied":
        vault.data.checkpoint = die  # type: ignore[method-assign, assignment]
    consent.withdraw(vault, subject_id=UUID(subject), consent_id=UUID(consent_id), tell_time=lambda: datetime.now(UTC))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
