"""Choice of the next request by plain numbers, so that Hypothesis can shrink a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import strategies as st

from tests.machine.acts import Act, AddToken, Decide, Enrol, Recover, Rename, RevokeToken, Withdraw
from tests.machine.acts_of_right import Erase, Lift, Register, Restrict, See, Unenrol, Verify
from tests.machine.model import RENEWAL
from tests.machine.walk import Walk

UNKNOWN_SECRET = "mien_sub_unknown"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
COMMON = ("consent", "enrol", "verify", "verify", "withdraw", "consent", "enrol")
RARE = ("rename", "add token", "revoke token", "refuse", "unenrol", "recover", "restrict", "lift", "access", "export")
MAX_PEOPLE = 4


@dataclass(frozen=True)
class Choice:
    """The numbers that determine a request."""

    kind: str
    who: int = 0
    which: int = 0
    """Number of the relying party, consent, token or reference."""
    face: int = 0
    more: int = 0
    """All other choices."""
    stale: bool = False
    """Whether to use any secret or id ever known, instead of a valid one."""


def choices(*kinds: str) -> st.SearchStrategy[Choice]:
    """Make a choice among *kinds*."""
    small = st.integers(0, 3)
    return st.builds(
        Choice,
        kind=st.sampled_from(kinds),
        who=small,
        which=small,
        face=st.integers(0, 1),
        more=st.integers(0, 11),
        stale=st.sampled_from((False,) * 7 + (True,)),
    )


def _secret(walk: Walk, choice: Choice, *, code: bool = False) -> tuple[str, str]:
    """Return the id of the subject who asks, and the secret of the request."""
    known = walk.codes if code else walk.secrets
    able = [one.id for one in walk.model.data.people.values() if one.secrets("recovery" if code else "access")]
    people = walk.people if choice.stale or not able else able
    if not people:
        return UNKNOWN, UNKNOWN_SECRET
    subject = people[choice.who % len(people)]
    person = walk.model.data.people.get(subject)
    in_force = [] if person is None else person.secrets("recovery" if code else "access")
    secrets = known[subject] if choice.stale or not in_force else in_force
    return subject, secrets[choice.more % len(secrets)]


def _deciding(walk: Walk, choice: Choice) -> Act:
    _, secret = _secret(walk, choice)
    parties = sorted(walk.model.data.parties.values(), key=lambda one: one.name)
    kinds: list[tuple[str, str | None]] = [("verification", one.id) for one in parties]
    kinds += [(RENEWAL, None), ("identification", parties[0].id)]
    purpose, party = kinds[choice.which % len(kinds)]
    notice = walk.model.data.notices[purpose]
    days = (None, None, 3, 400)[choice.more % 4]
    decision = "refused" if choice.kind == "refuse" else "given"
    ends_at = None if days is None or decision == "refused" else (walk.model.now + timedelta(days=days)).isoformat()
    old = f"{choice.more:064x}" if choice.stale and choice.face else notice
    return Decide(secret, purpose, party, old, decision, days if ends_at else None, ends_at)


def _enrolling(walk: Walk, choice: Choice) -> Act:
    subject, secret = _secret(walk, choice)
    person = walk.model.data.people.get(subject)
    live = [] if person is None else [one.id.value for one in person.grants if one.party is not None and one.id.value]
    some = live if choice.more % 3 else live[:1]
    if choice.stale or not some:
        every = [one for consents in walk.consents.values() for one in consents] or [UNKNOWN]
        some = [every[choice.which % len(every)]]
    faces = [choice.face] * (1 + choice.more % 3)
    if choice.more == 11:
        faces[-1] = choice.face + 1
    renewal = person is not None and person.grant(RENEWAL, None) is not None
    return Enrol(secret, some, faces, keep=choice.which % 2 == 1 and (renewal or choice.stale))


def _verifying(walk: Walk, choice: Choice) -> Act:
    parties = sorted(walk.model.data.parties.values(), key=lambda one: one.name)
    live = [
        (one.party, one.ref.value)
        for person in walk.model.data.people.values()
        for one in person.grants
        if one.purpose == "verification" and one.ref.value is not None
    ]
    refs = walk.refs if choice.stale or not live else live
    party_id, ref = refs[choice.which % len(refs)] if refs else (None, "never-was")
    asking = next((one for one in parties if one.id == party_id), parties[0])
    if choice.stale and choice.more % 2:
        asking = parties[choice.who % len(parties)]
    return Verify(asking.secret or "mien_rp_lost", ref or "never-was", choice.face)


def _withdrawing(walk: Walk, choice: Choice) -> Act:
    subject, secret = _secret(walk, choice)
    person = walk.model.data.people.get(subject)
    live = [] if person is None else [one.id.value for one in person.grants if one.id.value is not None]
    consents = walk.consents.get(subject, []) if choice.stale or not live else live
    return Withdraw(secret, consents[choice.which % len(consents)] if consents else UNKNOWN)


def _token_or_enrolment(walk: Walk, choice: Choice) -> Act:
    subject, secret = _secret(walk, choice)
    person = walk.model.data.people.get(subject)
    if choice.kind == "unenrol":
        enrolments = [] if person is None else sorted(person.enrolments())
        return Unenrol(secret, enrolments[choice.which % len(enrolments)] if enrolments else UNKNOWN)
    tokens = [] if person is None else [one.id.value for one in person.tokens if one.id.value is not None]
    return RevokeToken(secret, tokens[choice.which % len(tokens)] if tokens else UNKNOWN)


_MADE: dict[str, Callable[[Walk, Choice], Act]] = {
    "register": lambda walk, choice: Register(None, f"Canary of {len(walk.people)} and {choice.more}"),
    "consent": _deciding,
    "refuse": _deciding,
    "enrol": _enrolling,
    "verify": _verifying,
    "withdraw": _withdrawing,
    "unenrol": _token_or_enrolment,
    "revoke token": _token_or_enrolment,
    "recover": lambda walk, choice: Recover(_secret(walk, choice, code=True)[1]),
    "rename": lambda walk, choice: Rename(
        _secret(walk, choice)[1], f"Renamed canary {choice.more}" if choice.face else None
    ),
    "add token": lambda walk, choice: AddToken(_secret(walk, choice)[1]),
    "restrict": lambda walk, choice: Restrict(_secret(walk, choice)[1]),
    "lift": lambda walk, choice: Lift(_secret(walk, choice)[1]),
    "erase": lambda walk, choice: Erase(_secret(walk, choice)[1]),
    "access": lambda walk, choice: See(_secret(walk, choice)[1]),
    "export": lambda walk, choice: See(_secret(walk, choice)[1], "export"),
}


def chosen(walk: Walk, choice: Choice) -> Act:
    """Return the chosen request."""
    return _MADE[choice.kind](walk, choice)
