"""The signed message to a relying party: one event, the party, and its own reference to the subject; no more."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.callbacks.policy import CallbackEvent
from app.callbacks.tables import Message
from app.faces.permit import Purpose
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.transparency.verify import jws
from app.transparency.verify.canonical_json import encode_json
from app.vault.vault import Vault


class EventClaims(BaseModel):
    """The claims of the message."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    iss: str
    """The log of this service: the first line of its checkpoint."""
    aud: UUID
    """Your `relying_party_id`."""
    jti: UUID
    """The same in each try of one message."""
    iat: int
    """The time of this try, in seconds since 1970."""
    event: CallbackEvent
    subject_ref: str
    """Your reference of the subject."""
    purpose: Purpose


def sign(vault: Vault, message: Message, *, now: datetime) -> str:
    """Return the message as a compact JWS. Its time is that of this try; its id is the same for all tries.

    Raises:
        KekError: the key-encryption key is not the register's.
        LookupError: no signing key exists; the service creates one when it starts.
    """
    claims = EventClaims(
        iss=signing_keys.log_origin(vault.register.check_origin()),
        aud=message.relying_party_id,
        jti=message.id,
        iat=int(now.timestamp()),
        event=message.event,
        subject_ref=message.subject_ref,
        purpose=message.purpose,
    )
    private = signing_keys.load_private_key(vault, KeyUse.EVENTS)
    return jws.sign_token(encode_json(claims.model_dump(mode="json")), typ=jws.EVENT_TYPE, key=private)
