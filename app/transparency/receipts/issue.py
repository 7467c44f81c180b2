"""Issuing a receipt: signed, with a salted leaf, and with a signed promise that this leaf will be in the log."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.settings import Settings
from app.transparency.log import entries, signing_keys
from app.transparency.log.batch import promise_deadline
from app.transparency.receipts import content as drafting
from app.transparency.tables import KeyUse, ReceiptRow
from app.transparency.verify import jws
from app.transparency.verify import receipt as receipts
from app.transparency.verify.bundle import Bundle, Promise
from app.transparency.verify.canonical_json import encode_base64url, encode_json
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class IssuedReceipt:
    """A receipt as its person is given it, and the leaf that has to join the log."""

    bundle: Bundle
    leaf: bytes

    def written(self) -> bytes:
        """Return it as JSON."""
        return self.bundle.model_dump_json(exclude_none=True).encode()


def receipt_issuer(settings: Settings) -> drafting.Issuer:
    """Return who answers for what a receipt says."""
    return drafting.Issuer(controller=settings.controller, profile=settings.profile)


def sign_receipt(vault: Vault, said: receipts.Receipt, *, now: datetime) -> IssuedReceipt:
    """Sign what a receipt says. Whoever calls writes its leaf, in the transaction of the act.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    signer = signing_keys.load_signer(vault, KeyUse.RECEIPTS)
    entry = entries.salt_record(receipts.encode_receipt(said))
    promise = Promise(
        origin=signing_keys.log_origin(vault.register.origin_id()),
        leaf=entry.leaf.hex(),
        log_key=signing_keys.current_thumbprint(vault, KeyUse.CHECKPOINTS),
        by=drafting.format_time(promise_deadline(now, vault.settings.log_interval)),
    )
    bundle = Bundle(
        jws=jws.sign_token(entry.record, typ=jws.RECEIPT_TYPE, key=signer.private),
        leaf=entry.leaf.hex(),
        salt=encode_base64url(entry.salt),
        promise=jws.sign_token(encode_json(promise.model_dump()), typ=jws.PROMISE_TYPE, key=signer.private),
    )
    return IssuedReceipt(bundle, entry.leaf)


def issue_receipt(
    session: Session,
    vault: Vault,
    key: Key,
    *,
    subject_id: UUID,
    receipt_id: UUID,
    said: receipts.Receipt,
    now: datetime,
) -> Bundle:
    """Sign a person's receipt and write it, in the transaction of the act that it is about. Returns the bundle."""
    issued = sign_receipt(vault, said, now=now)
    entries.append_receipt(
        session, key, subject_id=subject_id, receipt_id=receipt_id, bundle=issued.written(), leaf=issued.leaf
    )
    return issued.bundle


def find_receipt(session: Session, key: Key, *, receipt_id: UUID) -> Bundle | None:
    """Return a person's receipt as it was issued; None if there is none with this id."""
    row = session.get(ReceiptRow, receipt_id)
    return None if row is None else open_receipt(key, row.id, row.sealed)


def open_receipt(key: Key, receipt_id: UUID, sealed: bytes) -> Bundle:
    """Open a receipt that was sealed for its row."""
    return Bundle.model_validate_json(key.open(sealed, sealing_context(ReceiptRow.sealed, receipt_id)))
