"""Register subjects, manage their tokens and names, and check that they may act."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, and_, delete, select
from sqlalchemy.orm import Session

from app.db.store import Store
from app.kit.crash_points import operation
from app.kit.errors import NotFoundError, Problem
from app.kit.text import clean_pasted_code
from app.settings import Settings
from app.subjects import daily_receipts
from app.subjects.tables import Subject, Token, TokenKind
from app.transparency.receipts.content import right_receipt
from app.transparency.receipts.issue import issue_receipt
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.vocabulary import RightKind
from app.vault.authentic_rows import is_authentic
from app.vault.ending import ends
from app.vault.kept_answers import DependsOn, Keep, keep_nothing
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.callers import ForbiddenError, Principal, Role, UnauthenticatedError, new_token, token_digest

ACCESS_PREFIX = "mien_sub_"
RECOVERY_PREFIX = "mien_rec_"
MAX_TOKENS = 100
"""Access tokens of one subject: every device has its own, and all are listed at once."""


class RegistrationClosedError(ForbiddenError):
    """Registration over HTTP is closed by the operator."""

    detail = "Registration is closed. Ask the operator of this service for an account."


class RestrictedError(Problem):
    """The subject has stopped all matching; only the subject gets this answer."""

    status = 423
    slug = "restricted"
    title = "Restricted"
    detail = "You have stopped all use of your face. Lift the restriction first: DELETE /v1/me/restriction."


class TooManyTokensError(Problem):
    """The subject has as many access tokens as the service stores for one person."""

    status = 409
    slug = "too-many-tokens"
    title = "Too many tokens"
    detail = f"You have {MAX_TOKENS} access tokens. End one that you do not use: DELETE /v1/me/tokens/{{token_id}}."


class UnknownRecoveryCodeError(UnauthenticatedError):
    """The recovery code does not exist or was used."""

    detail = "The recovery code is not valid. Each code works once; use the code from your last recovery."


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """The secrets of a subject, shown once."""

    subject_id: UUID
    access_token: str
    recovery_code: str


def _add_token(session: Session, subject_id: UUID, kind: TokenKind, now: datetime) -> tuple[UUID, str]:
    is_access, today = kind is TokenKind.ACCESS, now.date()
    token = new_token(ACCESS_PREFIX if is_access else RECOVERY_PREFIX)
    row = Token(id=uuid4(), subject_id=subject_id, kind=kind, digest=token_digest(token), created_on=today)
    row.last_used_on = today if is_access else None
    session.add(row)
    return row.id, token


def _add_credentials(session: Session, subject_id: UUID, now: datetime) -> NewCredentials:
    _, access_token = _add_token(session, subject_id, TokenKind.ACCESS, now)
    _, recovery_code = _add_token(session, subject_id, TokenKind.RECOVERY, now)
    return NewCredentials(subject_id, access_token, recovery_code)


@operation("sign-up")
def register(
    vault: Vault, *, display_name: str | None, now: datetime, keep: Keep[NewCredentials] = keep_nothing
) -> NewCredentials:
    """Register a subject."""
    with vault.change() as change:
        session = change.session
        subject = Subject(id=uuid4(), registered_on=now.date())
        change.issue(Owner.subject(subject.id))
        subject.sealed_name = _seal_display_name(vault, subject.id, display_name)
        session.add(subject)
        session.flush()
        credentials = _add_credentials(session, subject.id, now)
        keep(session, credentials, DependsOn(subject.id))
        return credentials


def authenticate(data: Store, token_digest: bytes) -> Principal | None:
    """Return the subject with this access token; None also while the subject is being erased."""
    matches = (Token.digest == token_digest, Token.kind == TokenKind.ACCESS, Subject.erasing.is_(False))
    authentic = (is_authentic(Token), is_authentic(Subject))
    with data.read() as session:
        found = session.execute(select(Token.subject_id, Token.id).join(Subject).where(*matches, *authentic)).first()
    return None if found is None else Principal(Role.PERSON, *found)


def get(session: Session, subject_id: UUID, *, token_id: UUID | None = None) -> Subject:
    """Return the subject.

    Args:
        token_id: the token of the request; a write checks it again in its own transaction.

    Raises:
        UnauthenticatedError: the subject was erased, or the token ended, after the token was checked.
    """
    subject = session.get(Subject, subject_id)
    if subject is None or subject.erasing or (token_id is not None and session.get(Token, token_id) is None):
        raise UnauthenticatedError
    return subject


def key(vault: Vault, subject_id: UUID) -> Key:
    """Return the key of the subject's records.

    Raises:
        UnauthenticatedError: the subject was erased after the token was checked.
    """
    try:
        return vault.register.key(Owner.subject(subject_id))
    except KeyGoneError as error:
        raise UnauthenticatedError from error


def read_display_name(vault: Vault, subject: Subject) -> str | None:
    """Return the subject's display name."""
    if subject.sealed_name is None:
        return None
    return key(vault, subject.id).open(subject.sealed_name, sealing_context(Subject.sealed_name, subject.id)).decode()


def rectify(
    session: Session, vault: Vault, *, by: Principal, display_name: str | None, settings: Settings, now: datetime
) -> tuple[Subject, Bundle]:
    """Correct the subject's display name. Returns the receipt too, which omits the name.

    A right is never refused: when the subject has all receipts of the day, the newest of a correction stands again.
    """
    subject = get(session, by.id, token_id=by.token_id)
    subject.sealed_name = _seal_display_name(vault, by.id, display_name)
    own, receipt = key(vault, by.id), None
    if daily_receipts.has_all(session, own, subject_id=by.id, settings=settings, now=now):
        newest = settings.receipts_per_day
        found = daily_receipts.find_of_today(session, own, subject_id=by.id, kind="rectification", most=newest, now=now)
        receipt = next(found, None)
    return subject, receipt or issue_right_receipt(
        session, vault, by.id, "rectification", settings=settings, now=now, own=own
    )


def _seal_display_name(vault: Vault, subject_id: UUID, display_name: str | None) -> bytes | None:
    if display_name is None:
        return None
    return key(vault, subject_id).seal(display_name.encode(), sealing_context(Subject.sealed_name, subject_id))


def list_tokens(session: Session, subject_id: UUID) -> Sequence[Token]:
    """Return the subject's access tokens, the oldest first."""
    where = (Token.subject_id == subject_id, Token.kind == TokenKind.ACCESS)
    return session.scalars(select(Token).where(*where).order_by(Token.created_on, Token.id)).all()


def add_token(session: Session, *, subject_id: UUID, with_token: UUID, now: datetime) -> tuple[UUID, str]:
    """Add an access token. Returns its id and the token.

    Raises:
        TooManyTokensError: the subject has too many.
    """
    get(session, subject_id, token_id=with_token)
    if len(list_tokens(session, subject_id)) >= MAX_TOKENS:
        raise TooManyTokensError
    return _add_token(session, subject_id, TokenKind.ACCESS, now)


@operation("revoking a token")
@ends
def revoke_token(vault: Vault, *, subject_id: UUID, token_id: UUID, now: datetime) -> None:
    """End one of the subject's access tokens; a restored backup does not bring it back.

    Raises:
        NotFoundError: the subject has no such token.
    """
    with vault.change() as change:
        token = change.session.get(Token, token_id)
        if token is None or token.subject_id != subject_id or token.kind is not TokenKind.ACCESS:
            raise NotFoundError
        _end_tokens(change, Token.id == token_id, now)


@operation("recovery")
@ends
def recover(vault: Vault, *, recovery_code: str, now: datetime) -> NewCredentials:
    """Exchange a recovery code for a new token and a new code; every older token and the code end.

    Raises:
        UnknownRecoveryCodeError: the code does not exist or was used.
    """
    code = clean_pasted_code(recovery_code)
    # A telephone writes the first letter large; the letters after the prefix are not alike in both cases.
    if code.lower().startswith(RECOVERY_PREFIX):
        code = RECOVERY_PREFIX + code[len(RECOVERY_PREFIX) :]
    with vault.change() as change:
        session = change.session
        matches = (Token.digest == token_digest(code), Token.kind == TokenKind.RECOVERY, is_authentic(Token))
        found = session.scalar(select(Token).where(*matches))
        if found is None:
            raise UnknownRecoveryCodeError
        subject = get(session, found.subject_id)
        # At the commit that adds the new code: a crash in between would leave the subject without any access.
        _end_tokens(change, Token.subject_id == subject.id, now, after_commit=True)
        return _add_credentials(session, subject.id, now)


def _end_tokens(change: Change, which: ColumnElement[bool], now: datetime, *, after_commit: bool = False) -> None:
    for token_id in change.session.scalars(delete(Token).where(which).returning(Token.id)).all():
        change.end(EndedKind.TOKEN, token_id, ended_as="revoked", on=now.date(), after_commit=after_commit)


def is_matchable() -> ColumnElement[bool]:
    """Return the condition for subjects who have neither restricted matching nor requested erasure."""
    return and_(Subject.matching_period_id.is_not(None), Subject.erasing.is_(False), is_authentic(Subject))


def erasing_subject_ids() -> Select[UUID]:
    """Select the ids of subjects whose erasure is in progress."""
    return select(Subject.id).where(Subject.erasing)


def issue_right_receipt(
    session: Session,
    vault: Vault,
    subject_id: UUID,
    kind: RightKind,
    *,
    settings: Settings,
    now: datetime,
    own: Key | None = None,
) -> Bundle:
    """Issue the receipt of an exercised right, in the transaction that carries it out.

    Args:
        own: the subject's key, if the caller opened it.
    """
    own = own or key(vault, subject_id)
    session.flush()
    receipt = right_receipt(kind=kind, settings=settings, at=now)
    return issue_receipt(
        session,
        vault,
        own,
        subject_id=subject_id,
        receipt_id=uuid4(),
        content=receipt,
        settings=settings,
        now=now,
    )


def refuse_if_restricted(session: Session, subject_id: UUID) -> None:
    """Raise `RestrictedError` if the subject has stopped all matching."""
    subject = session.get(Subject, subject_id)
    if subject is not None and subject.restricted:
        raise RestrictedError


def begin_erasure(session: Session, subject_id: UUID) -> None:
    """Take the subject out of matching and disable their tokens, for good."""
    get(session, subject_id).erasing = True
    session.flush()


def delete_subject(change: Change, *, subject_id: UUID, now: datetime) -> None:
    """Delete the subject and destroy their key; foreign keys delete all dependent rows."""
    _end_tokens(change, Token.subject_id == subject_id, now)
    change.session.execute(delete(Subject).where(Subject.id == subject_id))
    change.end(EndedKind.SUBJECT, subject_id, ended_as="erased", on=now.date())
