"""The signed message to a relying party: one event, the party, and its own reference to the subject; no more."""

from datetime import datetime

from app.callbacks.tables import Message
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.transparency.verify import jws
from app.transparency.verify.canonical_json import encode_json
from app.vault.vault import Vault


def sign(vault: Vault, message: Message, *, now: datetime) -> str:
    """Return the message as a compact JWS. Its time is that of this try; its id is the same for all tries.

    Raises:
        KekError: the key-encryption key is not the register's.
        LookupError: no signing key exists; the service creates one when it starts.
    """
    claims = {
        "iss": signing_keys.log_origin(vault.register.check_origin()),
        "aud": str(message.relying_party_id),
        "jti": str(message.id),
        "iat": int(now.timestamp()),
        "event": message.event,
        "subject_ref": message.subject_ref,
        "purpose": message.purpose,
    }
    private = signing_keys.load_private_key(vault, KeyUse.EVENTS)
    return jws.sign_token(encode_json(claims), typ=jws.EVENT_TYPE, key=private)
