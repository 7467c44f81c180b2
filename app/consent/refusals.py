"""Record consent refusals in the transparency log.

A refusal to a subject is an entry of that subject, sealed. A refusal to a relying party names only the party and the
day: the subject is unknown, or must not be revealed (law 9). One such entry is written per batch, so that repeated
requests cannot fill the disk.
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
from app.web.callers import Principal, Role, UnauthenticatedError

RECORDED_REFUSALS: tuple[type[Problem], ...] = (ConsentRequiredError, NoSuchConsentError, RestrictedError)
"""The refusals about consent; an unusable photo or token is not one."""
WAIT_S = 0.5
"""Longest wait for the write transaction; after it, the refusal is answered without an entry."""

log = structlog.get_logger()


@operation("recording a refusal")
def record_refusal(vault: Vault, *, by: Principal, refused: Problem, now: datetime) -> None:
    """Write the entry of a refusal in its own transaction; the transaction of the refused request was rolled back."""
    try:
        key = subjects.key(vault, by.id) if by.role is Role.PERSON else None
        with vault.data.write(wait_s=WAIT_S) as session:
            if key is None:
                # The same record for all refusals of a day: while one waits for its batch, others add nothing.
                record = {"slug": refused.slug, "relying_party_id": str(by.id), "on": now.date().isoformat()}
                entries.add_open_entry(session, entries.make_entry(LoggedAct.REFUSAL, **record), once=True)
                return
            subjects.get(session, by.id)
            entry = {"slug": refused.slug, "at": now.isoformat()}
            entries.append(session, key, subject_id=by.id, entry_id=uuid4(), act=LoggedAct.REFUSAL, **entry)
    except UnauthenticatedError:
        # The subject was erased; no entry is written.
        return
    except (DBAPIError, KekError, SealError) as error:
        log.warning("a refusal is not in the transparency log", error=type(error).__name__)
