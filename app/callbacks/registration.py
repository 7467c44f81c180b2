"""Set the callback of a relying party: by the operator's command, never over HTTP."""

from datetime import datetime
from uuid import UUID, uuid4

from app.callbacks.url_rules import CallbackError, parse_callback
from app.kit.crash_points import operation
from app.parties.service import PartyError
from app.parties.tables import RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.tables import EndedKind
from app.vault.vault import Vault


@operation("setting a callback")
def set_callback(vault: Vault, *, party_id: UUID, to: str | None, private: bool, now: datetime) -> str | None:
    """Set or remove (None) the URL for messages to a relying party. Returns its origin.

    A revoked party can have one too, because consents to it may be in force. The entry in the transparency log omits
    the path, which may contain a secret. A restored backup does not bring an earlier callback back.

    Args:
        private: whether it may use `http` and private addresses.

    Raises:
        PartyError: the relying party does not exist, or the URL is not allowed.
    """
    try:
        origin = None if to is None else parse_callback(to, private=private).origin
    except CallbackError as error:
        raise PartyError(str(error)) from error
    with vault.change() as change:
        party = change.session.get(RelyingParty, party_id)
        if party is None:
            raise PartyError(f"there is no relying party {party_id}")
        if party.callback_id is not None:
            ended_as = "off" if to is None else "replaced"
            change.end(
                EndedKind.CALLBACK, party.callback_id, ended_as=ended_as, on=now.date(), after_commit=to is not None
            )
        party.callback, party.callback_id = to, None if to is None else uuid4()
        record = {"relying_party_id": str(party_id), "callback": origin, "at": now.isoformat()}
        append_open_entry(change.session, LoggedAct.RELYING_PARTY_CALLBACK, **record)
    return origin
