"""What a person can do with their account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Select, bindparam, delete, select, update
from sqlalchemy.orm import Session

from app.db.sqlite.prepared import Prepared, Statements, within
from app.db.sqlite.store import Store
from app.kit.crash_points import operation
from app.kit.errors import NotFoundError, Problem
from app.subjects.tables import Subject, Token, TokenKind
from app.transparency.receipts import content as drafting
from app.transparency.receipts import issue as issuing
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.vocabulary import RightKind
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.sealing_context import place
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.auth import ForbiddenError, Principal, Role, UnauthenticatedError, new_token, token_digest

ACCESS_PREFIX = "mien_sub_"
RECOVERY_PREFIX = "mien_rec_"


class RegistrationClosedError(ForbiddenError):
    """The operator registers people by other means."""

    detail = "This service does not take new people by itself. Ask whoever runs it."


class RestrictedError(Problem):
    """The person has stopped all matching; only they are told so."""

    status = 423
    slug = "restricted"
    title = "Restricted"
    detail = "You have stopped all use of your face here. Lift that first: DELETE /v1/me/restriction."


class UnknownRecoveryCodeError(UnauthenticatedError):
    """There is no such recovery code, or it was used."""

    detail = "This is not a recovery code that is in force. Each works once, and the last recovery gave you a new one."


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """What a new person is given, once."""

    subject_id: UUID
    access_token: str
    recovery_code: str


def _add_token(session: Session, subject_id: UUID, kind: TokenKind, now: datetime) -> tuple[UUID, str]:
    token = new_token(ACCESS_PREFIX if kind is TokenKind.ACCESS else RECOVERY_PREFIX)
    used = now.date() if kind is TokenKind.ACCESS else None
    row = Token(
        id=uuid4(),
        subject_id=subject_id,
        kind=kind,
        digest=token_digest(token),
        created_on=now.date(),
        last_used_on=used,
    )
    session.add(row)
    return row.id, token


@operation("sign-up")
def register(vault: Vault, *, display_name: str | None, now: datetime) -> NewCredentials:
    """Enter a person."""
    with vault.change() as change:
        session = change.session
        subject = Subject(
            id=uuid4(), registered_on=now.date(), sealed_name=None, matching_period_id=uuid4(), erasing=False
        )
        change.issue(Owner.subject(subject.id))
        session.add(subject)
        session.flush()
        set_display_name(session, vault, subject_id=subject.id, display_name=display_name)
        _, access_token = _add_token(session, subject.id, TokenKind.ACCESS, now)
        _, recovery_code = _add_token(session, subject.id, TokenKind.RECOVERY, now)
    return NewCredentials(subject.id, access_token, recovery_code)


_BY_TOKEN = Prepared(
    select(Token.subject_id, Token.id)
    .join(Subject, Subject.id == Token.subject_id)
    .where(Token.digest == bindparam("digest"), Token.kind == TokenKind.ACCESS, Subject.erasing.is_(False))
)


def authenticate(data: Store, token_digest: bytes) -> Principal | None:
    """Find the person whose access token this is; one who is being erased has none any more."""
    with data.reading() as reading:
        found = reading.first(_BY_TOKEN, digest=token_digest)
    return None if found is None else Principal(Role.PERSON, *found)


_THERE = Prepared(
    select(Subject.matching_period_id.is_(None)).where(
        Subject.id == bindparam("subject_id"), Subject.erasing.is_(False)
    )
)


def check_exists(statements: Statements, subject_id: UUID) -> None:
    """Go on only if the person is still there.

    Raises:
        UnauthenticatedError: they were erased since their token was checked.
    """
    is_restricted(statements, subject_id)


def is_restricted(statements: Statements, subject_id: UUID) -> bool:
    """Say whether the person has stopped all matching.

    Raises:
        UnauthenticatedError: they were erased since their token was checked.
    """
    found = statements.first(_THERE, subject_id=subject_id)
    if found is None:
        raise UnauthenticatedError
    return bool(found[0])


def get(session: Session, subject_id: UUID, *, token_id: UUID | None = None) -> Subject:
    """Return the person.

    Args:
        token_id: the token they asked with; a write checks it again, in its own transaction.

    Raises:
        UnauthenticatedError: they were erased, or the token was ended, since it was checked.
    """
    subject = session.get(Subject, subject_id)
    if subject is None or subject.erasing or (token_id is not None and session.get(Token, token_id) is None):
        raise UnauthenticatedError
    return subject


def key(vault: Vault, subject_id: UUID) -> Key:
    """Return the key of the person's own records.

    Raises:
        UnauthenticatedError: they were erased since their token was checked.
    """
    try:
        return vault.register.key(Owner.subject(subject_id))
    except KeyGoneError as error:
        raise UnauthenticatedError from error


def read_display_name(vault: Vault, subject: Subject) -> str | None:
    """Return what the person calls themselves."""
    if subject.sealed_name is None:
        return None
    return key(vault, subject.id).open(subject.sealed_name, place(Subject.sealed_name, subject.id)).decode()


def rectify(
    session: Session, vault: Vault, *, by: Principal, display_name: str | None, now: datetime
) -> tuple[Subject, Bundle]:
    """Correct what the person calls themselves; returns the receipt too, which does not say what."""
    subject = get(session, by.id, token_id=by.token_id)
    set_display_name(session, vault, subject_id=by.id, display_name=display_name)
    return subject, issue_right_receipt(session, vault, by.id, "rectification", now=now)


def set_display_name(session: Session, vault: Vault, *, subject_id: UUID, display_name: str | None) -> None:
    """Set what the person calls themselves."""
    subject = get(session, subject_id)
    subject.sealed_name = (
        None
        if display_name is None
        else key(vault, subject_id).seal(display_name.encode(), place(Subject.sealed_name, subject_id))
    )


def list_tokens(session: Session, subject_id: UUID) -> Sequence[Token]:
    """Return the person's access tokens."""
    where = (Token.subject_id == subject_id, Token.kind == TokenKind.ACCESS)
    return session.scalars(select(Token).where(*where).order_by(Token.created_on, Token.id)).all()


def add_token(session: Session, *, subject_id: UUID, with_token: UUID, now: datetime) -> tuple[UUID, str]:
    """Give the person one more way in; returns its id and the token."""
    get(session, subject_id, token_id=with_token)
    return _add_token(session, subject_id, TokenKind.ACCESS, now)


@operation("revoking a token")
def revoke_token(vault: Vault, *, subject_id: UUID, token_id: UUID, now: datetime) -> None:
    """End one of the person's access tokens; a restored backup does not bring it back.

    Raises:
        NotFoundError: they have no such token.
    """
    with vault.change() as change:
        token = change.session.get(Token, token_id)
        if token is None or token.subject_id != subject_id or token.kind is not TokenKind.ACCESS:
            raise NotFoundError
        _end_tokens(change, [token.id], now)


@operation("recovery")
def recover(vault: Vault, *, recovery_code: str, now: datetime) -> NewCredentials:
    """Give a new token and a new code for a code; every older token and the code end.

    Raises:
        UnknownRecoveryCodeError: there is no such code.
    """
    with vault.change() as change:
        session = change.session
        found = session.scalar(
            select(Token).where(Token.digest == token_digest(recovery_code), Token.kind == TokenKind.RECOVERY)
        )
        if found is None:
            raise UnknownRecoveryCodeError
        subject = get(session, found.subject_id)
        # Not before the new code is there: between the two a crash or a full disk would leave a person with no way in.
        for token_id in _token_ids(session, subject.id):
            session.execute(delete(Token).where(Token.id == token_id))
            change.replaced(EndedKind.TOKEN, token_id, ended_as="revoked", on=now.date())
        _, access_token = _add_token(session, subject.id, TokenKind.ACCESS, now)
        _, new_code = _add_token(session, subject.id, TokenKind.RECOVERY, now)
    return NewCredentials(subject.id, access_token, new_code)


def _token_ids(session: Session, subject_id: UUID) -> Sequence[UUID]:
    return session.scalars(select(Token.id).where(Token.subject_id == subject_id)).all()


def _end_tokens(change: Change, token_ids: Sequence[UUID], now: datetime) -> None:
    for token_id in token_ids:
        change.session.execute(delete(Token).where(Token.id == token_id))
        change.end(EndedKind.TOKEN, token_id, ended_as="revoked", on=now.date())


def matchable_subject_ids() -> Select[UUID]:
    """Select the ids of people who have neither stopped matching nor asked for erasure."""
    return select(Subject.id).where(Subject.matching_period_id.is_not(None), Subject.erasing.is_(False))


def erasing_subject_ids() -> Select[UUID]:
    """Select the ids of people whose erasure is under way."""
    return select(Subject.id).where(Subject.erasing)


def issue_right_receipt(session: Session, vault: Vault, subject_id: UUID, kind: RightKind, *, now: datetime) -> Bundle:
    """Write the receipt of a right that the person used, in the transaction in which they do."""
    own = key(vault, subject_id)
    session.flush()
    return issue_right_receipt_with_key(within(session), vault, own, subject_id=subject_id, kind=kind, now=now)


def issue_right_receipt_with_key(
    writing: Statements, vault: Vault, own: Key, *, subject_id: UUID, kind: RightKind, now: datetime
) -> Bundle:
    """Do the same with the person's *own* key at hand."""
    said = drafting.right_receipt(
        kind=kind, issuer=issuing.receipt_issuer(vault.settings), ids=drafting.ReceiptIds.fresh(), at=now
    )
    return issuing.issue_receipt(writing, vault, own, subject_id=subject_id, receipt_id=uuid4(), said=said, now=now)


def refuse_if_restricted(session: Session, subject_id: UUID) -> None:
    """Refuse what would use the person's face.

    Raises:
        RestrictedError: they have stopped all matching.
    """
    subject = session.get(Subject, subject_id)
    if subject is not None and subject.restricted:
        raise RestrictedError


def begin_erasure(session: Session, subject_id: UUID) -> None:
    """Take the person out of matching and end their way in, for good."""
    get(session, subject_id)
    session.execute(update(Subject).where(Subject.id == subject_id).values(erasing=True))


def delete_subject(change: Change, *, subject_id: UUID, now: datetime) -> None:
    """Delete the person; the database takes every row that hangs from them, and their key goes."""
    _end_tokens(change, _token_ids(change.session, subject_id), now)
    change.session.execute(delete(Subject).where(Subject.id == subject_id))
    change.end(EndedKind.SUBJECT, subject_id, ended_as="erased", on=now.date())
