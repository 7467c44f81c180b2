"""The keys that sign receipts, checkpoints and events: made, rotated, and reported stolen.

A private key is sealed under a register key of its own, and so under the key-encryption key. When it retires, that
register key is destroyed. Its public key stays for ever, so that its signatures still verify.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.kit.errors import OperatorError
from app.transparency.log.entries import LoggedAct, append_open_entry_in_register
from app.transparency.log.tiles import guard_owner
from app.transparency.tables import KeyUse, LogHead, SigningKey
from app.transparency.verify import merkle
from app.transparency.verify.canonical_json import encode_base64url
from app.transparency.verify.checkpoint import Checkpoint, Verifier, sign_checkpoint
from app.transparency.verify.jws import thumbprint
from app.vault.register import READ_ATTEMPTS, KeyGoneError, Owner
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault


class SigningKeyError(OperatorError, ValueError):
    """The operator's command about a signing key is refused. The text says why."""


def log_origin(origin_id: UUID) -> str:
    """Return the name of a register's log: the first line of its checkpoints, and the name of their signer."""
    return f"mien/{origin_id}"


@operation("starting the transparency log")
def begin_log(vault: Vault, *, now: datetime) -> None:
    """Begin the log of a new register: an empty tree and the signing keys. For an older one, make the missing keys."""
    store, origin_id = vault.register.store, vault.register.check_origin()
    with store.read() as session:
        begun = _has_begun(session)
        missing = set(KeyUse) - set(session.scalars(select(SigningKey.signs)))
    if begun and not missing:
        return
    guard = guard_owner(origin_id)
    if not begun and not vault.register.keys_left([guard.digest]):
        vault.register.issue(guard)
    made = [_make_key(vault, signs, now) for signs in sorted(missing)]
    with store.write() as session:
        # Checked again under the lock: another process may have done either.
        known = set(session.scalars(select(SigningKey.signs)))
        for key in made:
            if key.signs not in known:
                _put_in_force(session, key, now)
        if not _has_begun(session):
            origin = log_origin(origin_id)
            append_open_entry_in_register(session, LoggedAct.LOG_BEGUN, origin=origin, at=now.isoformat())
            session.add(LogHead(size=0, root=merkle.EMPTY_ROOT, made_at=now, looked_at=now))


def _has_begun(session: Session) -> bool:
    return session.scalar(select(LogHead.size).limit(1)) is not None


def _make_key(vault: Vault, signs: KeyUse, now: datetime) -> SigningKey:
    """Make a key pair. The register key that seals its private key is committed already."""
    key_id, private = uuid4(), Ed25519PrivateKey.generate()
    owner, public = Owner.log(key_id), private.public_key().public_bytes_raw()
    sealing = vault.register.key(owner, vault.register.issue(owner))
    return SigningKey(
        id=key_id,
        signs=signs,
        thumbprint=thumbprint(public),
        public=public,
        sealed=sealing.seal(private.private_bytes_raw(), sealing_context(SigningKey.sealed, key_id)),
        made_at=now,
    )


def _put_in_force(session: Session, key: SigningKey, now: datetime) -> None:
    session.add(key)
    append_open_entry_in_register(
        session, LoggedAct.SIGNING_KEY_MADE, signs=key.signs, thumbprint=key.thumbprint, at=now.isoformat()
    )


_IN_FORCE = select(SigningKey.id, SigningKey.thumbprint, SigningKey.public, SigningKey.sealed).where(
    SigningKey.signs == bindparam("signs", type_=SigningKey.signs.type), SigningKey.retired_at.is_(None)
)


def load_private_key(vault: Vault, signs: KeyUse) -> Ed25519PrivateKey:
    """Return the key in force. It is read each time, because the operator may rotate it while the service runs.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    for _ in range(READ_ATTEMPTS - 1):
        # The key was rotated between the two reads: the next attempt finds the new one.
        with suppress(KeyGoneError):
            return _load_private_key(vault, signs)
    return _load_private_key(vault, signs)


def _load_private_key(vault: Vault, signs: KeyUse) -> Ed25519PrivateKey:
    key = _key_in_force(vault, signs)
    raw = vault.register.key(Owner.log(key.id)).open(key.sealed, sealing_context(SigningKey.sealed, key.id))
    return Ed25519PrivateKey.from_private_bytes(raw)


def _key_in_force(vault: Vault, signs: KeyUse) -> Row[UUID, str, bytes, bytes]:
    with vault.register.store.read() as session:
        key = session.connection().execute(_IN_FORCE, {"signs": signs}).first()
    if key is None:
        msg = f"there is no key that signs {signs}"
        raise LookupError(msg)
    return key


def current_thumbprint(vault: Vault, signs: KeyUse) -> str:
    """Return the thumbprint of the key in force."""
    return str(_key_in_force(vault, signs).thumbprint)


def checkpoint_vkey(vault: Vault) -> str:
    """Return the verifier line (C2SP signed-note) of the key that signs checkpoints."""
    public = Ed25519PublicKey.from_public_bytes(_key_in_force(vault, KeyUse.CHECKPOINTS).public)
    return Verifier(log_origin(vault.register.origin_id()), public).vkey


def sign_head(vault: Vault, head: Checkpoint) -> str:
    """Return the signed note of a checkpoint."""
    return sign_checkpoint(head, name=head.origin, private_key=load_private_key(vault, KeyUse.CHECKPOINTS))


def list_signing_keys(session: Session) -> Sequence[SigningKey]:
    """Return all keys, retired ones too, oldest first."""
    return session.scalars(select(SigningKey).order_by(SigningKey.made_at, SigningKey.id)).all()


@operation("rotating the receipt key")
def rotate(vault: Vault, *, signs: KeyUse = KeyUse.RECEIPTS, now: datetime) -> SigningKey:
    """Sign with a new key from now on, and destroy the old private key. Its signatures still verify."""
    new = _make_key(vault, signs, now)
    with vault.register.store.write() as session:
        _replace(vault, session, new, now)
    vault.checkpoint_all()
    return new


def _replace(vault: Vault, session: Session, new: SigningKey, now: datetime) -> None:
    """Put a key in force. The private key that it replaces is destroyed in the same commit."""
    for key in list_signing_keys(session):
        if key.signs is new.signs and key.retired_at is None:
            key.retired_at = now
            vault.register.destroy_in(session, Owner.log(key.id))
            append_open_entry_in_register(
                session, LoggedAct.SIGNING_KEY_RETIRED, thumbprint=key.thumbprint, at=now.isoformat()
            )
    _put_in_force(session, new, now)


@operation("marking a receipt key as stolen")
def mark_stolen(vault: Vault, *, which: str, stolen_at: datetime, now: datetime) -> SigningKey:
    """Publish that a key was stolen, and rotate it. Of its receipts, those that the log had by then stay valid.

    Raises:
        SigningKeyError: no key of receipts or events has this thumbprint, or the time is impossible.
    """
    with vault.register.store.read() as session:
        found = session.scalar(select(SigningKey).where(SigningKey.thumbprint == which))
    if found is None or found.signs is KeyUse.CHECKPOINTS:
        msg = f"there is no key of receipts or events {which}; `mien keys list` names them"
        raise SigningKeyError(msg)
    if not found.made_at <= stolen_at <= now:
        msg = f"it was made on {found.made_at:%Y-%m-%d %H:%M:%S} UTC: name a time between then and now"
        raise SigningKeyError(msg)
    new = _make_key(vault, found.signs, now) if found.retired_at is None else None
    # In one commit: a key that is known to be stolen must not look merely retired.
    with vault.register.store.write() as session:
        if new is not None:
            _replace(vault, session, new, now)
        key = session.execute(select(SigningKey).where(SigningKey.id == found.id)).scalar_one()
        then = select(LogHead.size).where(LogHead.made_at <= stolen_at).order_by(LogHead.size.desc()).limit(1)
        size = session.scalar(then) or 0
        # Of two reports, the one with the earlier theft counts.
        if key.stolen_size is None or size < key.stolen_size:
            key.stolen_at, key.stolen_size = stolen_at, size
            append_open_entry_in_register(
                session, LoggedAct.SIGNING_KEY_STOLEN, thumbprint=which, since=stolen_at.isoformat(), log_size=size
            )
    vault.checkpoint_all()
    return key


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Yield the owners of the log's keys in the register, with generation 1. A restore must keep these keys."""
    with vault.register.store.read() as session:
        ids = session.scalars(select(SigningKey.id).where(SigningKey.retired_at.is_(None))).all()
    yield {owner: {1} for owner in (guard_owner(vault.register.check_origin()), *map(Owner.log, ids))}


def build_jwks(vault: Vault) -> dict[str, Any]:
    """Return all public keys, retired ones too, as a JWK set (RFC 7517)."""
    origin = log_origin(vault.register.origin_id())
    with vault.register.store.read() as session:
        return {"keys": [_jwk(key, origin) for key in list_signing_keys(session)]}


def _jwk(key: SigningKey, origin: str) -> dict[str, Any]:
    jwk: dict[str, Any] = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encode_base64url(key.public),
        "kid": key.thumbprint,
        "use": "sig",
        "alg": "EdDSA",
        "iat": int(key.made_at.timestamp()),
        "mien_signs": key.signs,
    }
    if key.signs is KeyUse.CHECKPOINTS:
        jwk["mien_origin"] = origin
    if key.retired_at is not None:
        jwk["exp"] = int(key.retired_at.timestamp())
    if key.stolen_at is not None:
        # The form of OpenID Federation's key history, with the size of the log.
        jwk["revoked"] = {
            "revoked_at": int(key.stolen_at.timestamp()),
            "reason": "compromised",
            "log_size": key.stolen_size,
        }
    return jwk
