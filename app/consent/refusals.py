"""What was refused because no consent covers it is in the log too: for the person among their entries, sealed.

A relying party that may not use a reference leaves an entry about the party and the day, and about nobody else: who was
meant is not known, or must not be (law 9). One for each batch of the log: a flood of questions must not fill the disk.
"""

from datetime import datetime
from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError

from app.consent.errors import ConsentRequiredError, NoSuchConsentError
from app.kit.crash_points import operation
from app.kit.errors import Problem
from app.subjects import service as subjects
from app.subjects.service import RestrictedError
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault
from app.web.auth import Principal, Role, UnauthenticatedError

NOTED: tuple[type[Problem], ...] = (ConsentRequiredError, NoSuchConsentError, RestrictedError)
"""Refusals that are about consent; that a photo will not do, or a token, is not."""
PATIENCE_S = 0.5
"""The longest that a refusal waits for its entry: it stays a refusal without."""

log = structlog.get_logger()


def _of_party(by: Principal, refused: Problem, now: datetime) -> dict[str, entries.Value]:
    """Return what is noted: of all refusals of a day the same, so that as long as one waits, more add nothing."""
    return {"slug": refused.slug, "relying_party_id": str(by.id), "on": now.date().isoformat()}


@operation("noting a refusal")
def note(vault: Vault, *, by: Principal, refused: Problem, now: datetime) -> None:
    """Write the entry of a refusal, in a transaction of its own: what was refused was rolled back."""
    try:
        key = subjects.key(vault, by.id) if by.role is Role.PERSON else None
        with vault.data.writing(patience_s=PATIENCE_S) as writing:
            if key is None:
                entries.add_open_entry_once(
                    writing, entries.make_entry(LoggedAct.REFUSAL, **_of_party(by, refused, now))
                )
                return
            subjects.check_there(writing, by.id)
            entry = {"slug": refused.slug, "at": now.isoformat()}
            entries.append(writing, key, subject_id=by.id, entry_id=uuid4(), act=LoggedAct.REFUSAL, **entry)
    except UnauthenticatedError:
        # They were erased meanwhile: there is nobody left to keep an entry for.
        return
    except (DBAPIError, KekError, SealError) as error:
        log.warning("a refusal is not in the log", error=type(error).__name__)
