"""What a relying party is sent: one event, signed. It names the party, its own reference to the person, and no more."""

from datetime import datetime

from app.callbacks.outbox import ClaimedMessage
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.transparency.verify import jws
from app.transparency.verify.canonical_json import encode_json
from app.vault.vault import Vault


def sign(vault: Vault, claimed: ClaimedMessage, *, now: datetime) -> str:
    """Return the message as a compact JWS, signed now: its time is that of this try, its id that of the first.

    Raises:
        KekError: the key-encryption key is not the register's.
        LookupError: there is no key for it; the start of the service makes one.
    """
    claims = {
        "iss": signing_keys.log_origin(vault.register.origin()),
        "aud": str(claimed.relying_party_id),
        "jti": str(claimed.id),
        "iat": int(now.timestamp()),
        "event": claimed.event,
        "subject_ref": claimed.subject_ref,
        "purpose": claimed.purpose,
    }
    return jws.sign_token(
        encode_json(claims), typ=jws.EVENT_TYPE, key=signing_keys.load_signer(vault, KeyUse.EVENTS).private
    )
