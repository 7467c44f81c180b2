"""Short walks that found a bug before."""

from tests.machine import files
from tests.machine.acts import AddToken, Decide, Enrol, Recover
from tests.machine.acts_of_right import Erase, Register, Unenrol
from tests.machine.model import RENEWAL, Person
from tests.machine.operators import Operators


def arrived(walk: Operators) -> Person:
    """Register a subject."""
    act = Register(None, "Ada Canary")
    walk.do(act)
    return walk.model.data.people[act.subject_id]


def enrolled(walk: Operators, person: Person, *, keep: bool = False) -> None:
    """Let a subject consent and enrol."""
    door = next(one.id for one in walk.model.data.parties.values() if one.name == "Door")
    secret, notices = person.secrets()[0], walk.model.data.notices
    walk.do(Decide(secret, "verification", door, notices["verification"]))
    if keep:
        walk.do(Decide(secret, RENEWAL, None, notices[RENEWAL]))
    grant = walk.model.data.people[person.id].grant("verification", door)
    assert grant is not None
    walk.do(Enrol(secret, [grant.id.value or ""], [0], keep))


def test_interrupted_deletion_of_an_enrolment_is_done_or_not_done(walk: Operators) -> None:
    person = arrived(walk)
    for step in range(1, 9):
        enrolled(walk, walk.model.data.people[person.id], keep=True)
        (enrolment,) = walk.model.data.people[person.id].enrolments()
        walk.do(Unenrol(person.secrets()[0], enrolment), kill_at=step)
    walk.check_all()

    assert len(walk.deaths) > 4


def test_no_value_of_an_erased_subject_opens_in_a_discarded_backup(walk: Operators) -> None:
    person = arrived(walk)
    walk.back_up()
    enrolled(walk, person)
    walk.back_up()
    newest = walk.ever_backed_up[-1]
    walk.restore(0)
    walk.do(Erase(person.secrets()[0]))

    assert files.opened_though_ended(walk.store.root, newest / "mien.db", walk.model.ended) == []
    walk.check_all()


def test_recovery_also_ends_tokens_of_a_discarded_timeline(walk: Operators) -> None:
    person = arrived(walk)
    walk.back_up()
    walk.do(AddToken(person.secrets()[0]))
    added = walk.model.data.people[person.id].secrets()[-1]
    walk.back_up()
    newest = walk.backups[-1]
    walk.restore(0)
    walk.do(Recover(walk.model.data.people[person.id].secrets("recovery")[0]))
    walk.model.ended.tokens.add(added)
    walk.backups.append(newest)
    walk.restore(1)

    assert newest[0] in walk.refused
    assert walk.model.holder(added) is None
    walk.check_all()
