"""The keys that sign receipts, checkpoints and events; how they are made, rotated and given up as stolen.

A private key is sealed under a key of its own in the register, and so under the key-encryption key; when it retires,
that key is destroyed. Its public half stays for ever, so that what it signed still verifies.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.transparency.log.entries import LoggedAct, append_open_entry_in_register
from app.transparency.log.tiles import guard_owner
from app.transparency.tables import KeyUse, LogHead, SigningKey
from app.transparency.verify import merkle
from app.transparency.verify.canonical_json import encode_base64url
from app.transparency.verify.checkpoint import Verifier
from app.transparency.verify.jws import thumbprint
from app.vault.register import READ_ATTEMPTS, KeyGoneError, Owner
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault


class SigningKeyError(ValueError):
    """The operator's command about a signing key cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key in force."""

    thumbprint: str
    private: Ed25519PrivateKey


def log_origin(origin_id: UUID) -> str:
    """Return what a register's log is called: the first line of its checkpoints, and the name of who signs them."""
    return f"mien/{origin_id}"


@operation("beginning the log")
def begin_log(vault: Vault, *, now: datetime) -> None:
    """Begin the log of a register that has none: its keys, and a tree of no leaves. Later, make keys of a new kind."""
    store, origin_id = vault.register.store, vault.register.check_origin()
    with store.read() as session:
        begun = session.scalar(select(LogHead.size).limit(1)) is not None
        missing = set(KeyUse) - set(session.scalars(select(SigningKey.signs)))
    if begun:
        _add(vault, sorted(missing), now)
        return
    guard = guard_owner(origin_id)
    if not vault.register.keys_left([guard.digest]):
        vault.register.issue(guard)
    made = [_made(vault, signs, now) for signs in KeyUse]
    with store.write() as session:
        if session.scalar(select(LogHead.size).limit(1)) is not None:
            return
        append_open_entry_in_register(session, LoggedAct.LOG_BEGUN, origin=log_origin(origin_id), at=now.isoformat())
        for key in made:
            _put_in_force(session, key, now)
        session.add(LogHead(size=0, root=merkle.EMPTY_ROOT, made_at=now, looked_at=now))


def _add(vault: Vault, missing: Sequence[KeyUse], now: datetime) -> None:
    """Make the keys that a register of an older version has not."""
    for signs in missing:
        made = _made(vault, signs, now)
        with vault.register.store.write() as session:
            # Somebody else may have made it meanwhile.
            if session.scalar(select(SigningKey.id).where(SigningKey.signs == signs).limit(1)) is None:
                _put_in_force(session, made, now)


def _made(vault: Vault, signs: KeyUse, now: datetime) -> SigningKey:
    """Make a key pair, its private half sealed under a key that is committed already."""
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
        retired_at=None,
        stolen_at=None,
        stolen_size=None,
    )


def _put_in_force(session: Session, key: SigningKey, now: datetime) -> None:
    session.add(key)
    append_open_entry_in_register(
        session, LoggedAct.SIGNING_KEY_MADE, signs=key.signs, thumbprint=key.thumbprint, at=now.isoformat()
    )


_IN_FORCE = select(SigningKey.id, SigningKey.thumbprint, SigningKey.sealed).where(
    SigningKey.signs == bindparam("signs", type_=SigningKey.signs.type), SigningKey.retired_at.is_(None)
)


def load_signer(vault: Vault, signs: KeyUse) -> Signer:
    """Return the key in force; read each time, since it may be rotated beside a running service.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    for _ in range(READ_ATTEMPTS - 1):
        # Rotated between the two readings: the next one finds the new key.
        with suppress(KeyGoneError):
            return _signer(vault, signs)
    return _signer(vault, signs)


def _signer(vault: Vault, signs: KeyUse) -> Signer:
    with vault.register.store.read() as session:
        found = session.connection().execute(_IN_FORCE, {"signs": signs}).first()
    if found is None:
        msg = f"there is no key that signs {signs}"
        raise LookupError(msg)
    key_id, print_, sealed = found
    raw = vault.register.key(Owner.log(key_id)).open(sealed, sealing_context(SigningKey.sealed, key_id))
    return Signer(print_, Ed25519PrivateKey.from_private_bytes(raw))


def current_thumbprint(vault: Vault, signs: KeyUse) -> str:
    """Return which key is in force."""
    with vault.register.store.read() as session:
        found = session.connection().execute(_IN_FORCE, {"signs": signs}).first()
    return "" if found is None else str(found[1])


def checkpoint_vkey(vault: Vault) -> str:
    """Return the line by which the key of the log's checkpoints is handed on (C2SP signed note)."""
    with vault.register.store.read() as session:
        [public] = [
            key.public
            for key in list_signing_keys(session)
            if key.signs is KeyUse.CHECKPOINTS and key.retired_at is None
        ]
    return Verifier(log_origin(vault.register.origin_id()), Ed25519PublicKey.from_public_bytes(public)).vkey


def list_signing_keys(session: Session) -> Sequence[SigningKey]:
    """Return every key there ever was, the oldest first."""
    return session.scalars(select(SigningKey).order_by(SigningKey.made_at, SigningKey.id)).all()


@operation("rotating the key of receipts")
def rotate(vault: Vault, *, signs: KeyUse = KeyUse.RECEIPTS, now: datetime) -> SigningKey:
    """Sign with a new key from now on. The old private key is destroyed; what it signed still verifies."""
    new = _made(vault, signs, now)
    with vault.register.store.write() as session:
        _replace(vault, session, new, now)
    vault.checkpoint_all()
    return new


def _replace(vault: Vault, session: Session, new: SigningKey, now: datetime) -> None:
    """Put a key in force in place of the one that signs the same, whose private half goes in the same commit."""
    for key in list_signing_keys(session):
        if key.signs is new.signs and key.retired_at is None:
            key.retired_at = now
            vault.register.destroy_in(session, Owner.log(key.id))
            append_open_entry_in_register(
                session, LoggedAct.SIGNING_KEY_RETIRED, thumbprint=key.thumbprint, at=now.isoformat()
            )
    _put_in_force(session, new, now)


@operation("giving a key of receipts up as stolen")
def mark_stolen(vault: Vault, *, which: str, stolen_at: datetime, now: datetime) -> SigningKey:
    """Say that a key was stolen: a receipt that it signed holds only if it was in the log by then. Rotates it too.

    Raises:
        SigningKeyError: there is no such key of receipts or events, or that cannot have been then.
    """
    with vault.register.store.read() as session:
        found = session.scalar(select(SigningKey).where(SigningKey.thumbprint == which))
    if found is None or found.signs is KeyUse.CHECKPOINTS:
        msg = f"there is no key of receipts or events {which}; `mien keys list` names them"
        raise SigningKeyError(msg)
    if not found.made_at <= stolen_at <= now:
        msg = f"it was made on {found.made_at:%Y-%m-%d %H:%M:%S} UTC: name a time between then and now"
        raise SigningKeyError(msg)
    new = _made(vault, found.signs, now) if found.retired_at is None else None
    # In one commit: a key that is known to be stolen must not stay one that merely retired.
    with vault.register.store.write() as session:
        if new is not None:
            _replace(vault, session, new, now)
        key = session.execute(select(SigningKey).where(SigningKey.id == found.id)).scalar_one()
        then = select(LogHead.size).where(LogHead.made_at <= stolen_at).order_by(LogHead.size.desc()).limit(1)
        size = session.scalar(then) or 0
        # Told twice, the earlier theft counts.
        if key.stolen_size is None or size < key.stolen_size:
            key.stolen_at, key.stolen_size = stolen_at, size
            append_open_entry_in_register(
                session, LoggedAct.SIGNING_KEY_STOLEN, thumbprint=which, since=stolen_at.isoformat(), log_size=size
            )
    vault.checkpoint_all()
    return key


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Give the log's own keys: no row of the data store has them, and a restore takes none of them away."""
    with vault.register.store.read() as session:
        ids = session.scalars(select(SigningKey.id).where(SigningKey.retired_at.is_(None))).all()
    yield {owner: {1} for owner in (guard_owner(vault.register.check_origin()), *map(Owner.log, ids))}


def build_jwks(vault: Vault) -> dict[str, Any]:
    """Return the public halves of all keys there ever were, as a JWK set (RFC 7517)."""
    origin = log_origin(vault.register.origin_id())
    with vault.register.store.read() as session:
        return {"keys": [_jwk(key, origin) for key in list_signing_keys(session)]}


def _jwk(key: SigningKey, origin: str) -> dict[str, Any]:
    said: dict[str, Any] = {
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
        said["mien_origin"] = origin
    if key.retired_at is not None:
        said["exp"] = int(key.retired_at.timestamp())
    if key.stolen_at is not None:
        # As OpenID Federation names it in a provider's history of keys, and the size of the log.
        said["revoked"] = {
            "revoked_at": int(key.stolen_at.timestamp()),
            "reason": "compromised",
            "log_size": key.stolen_size,
        }
    return said
