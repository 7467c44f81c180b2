"""What an operator does to a service, and the search through everything at the end of a run."""

import shutil
import signal
from copy import deepcopy
from pathlib import Path

import httpx

import app.cli
from tests.machine import files, seen
from tests.machine.acts import Act
from tests.machine.acts_of_right import See, Verify
from tests.machine.ground import Ended, Ground
from tests.machine.model import Model, Party
from tests.machine.walk import Walk, body_of

WITH_BACKUPS, WITH_ROTATION = (hasattr(app.cli, name) for name in ("backup", "rotate_keys"))
NOTICES = Path(__file__).parents[2] / "notices"


class Operators(Walk):
    """A walk with an operator."""

    _published = 1

    def __init__(self, ground: Ground, model: Model) -> None:
        super().__init__(ground, model)
        self.ever_backed_up: list[Path] = []
        self.keys_ever = [one.secret for one in model.data.parties.values() if one.secret is not None]

    def _party(self, which: int) -> Party:
        parties = sorted(self.model.data.parties.values(), key=lambda one: one.name)
        return parties[which % len(parties)]

    def _key_works(self, secret: str | None) -> bool:
        headers = {"Authorization": f"Bearer {secret or 'mien_rp_lost'}"}
        return self.ground.client.get("/v1/relying-party", headers=headers).status_code == 200

    def rotate_party(self, which: int, *, dying_at: int = 0) -> None:
        """Give a party a new key; if the command dies the old one is in force, or there is none that anybody knows."""
        party = self._party(which)
        old = party.secret
        ended = self.command("relying-party", "rotate-key", party.id, dying_at=dying_at)
        party = self.model.data.parties[party.id]
        if ended.killed:
            if old is not None and not self._key_works(old):
                self.model.over.keys.add(old)
                party.secret = None
            return
        seen.same("rotating a key", ended.code, 1 if party.revoked else 0)
        if ended.code == 0:
            self.model.over.keys |= {old} - {None}  # type: ignore[arg-type]
            party.secret = ended.answer["api_key"]
            self.keys_ever.append(ended.answer["api_key"])

    def revoke_party(self, which: int, *, dying_at: int = 0) -> None:
        """End a party for good."""
        party = self._party(which)
        was = party.revoked
        ended = self.command("relying-party", "revoke", party.id, dying_at=dying_at)
        if ended.killed:
            listed = self.ground.client.get("/v1/relying-parties").json()["items"]
            if party.id in {one["relying_party_id"] for one in listed}:
                return
        else:
            seen.same("revoking a party", ended.code, 1 if was else 0)
        party = self.model.data.parties[party.id]
        party.revoked = True
        self.model.over.parties.add(party.id)

    def publish(self, purpose: str) -> None:
        """Put another text in force."""
        self._published += 1
        text = (NOTICES / f"{purpose}.en.md").read_text().replace("version = 1\n", f"version = {self._published}\n", 1)
        file = self.ground.root.with_name("notice.md")
        file.write_text(text)
        ended = self.command("notice", "publish", str(file))
        assert ended.code == 0, ended.printed
        self.model.data.notices[purpose] = ended.answer["sha256"]

    def sweep(self, *, dying_at: int = 0) -> None:
        """Sweep, beside the service."""
        if not self.command("sweep", dying_at=dying_at).killed:
            self.model.sweep()

    def stop_and_start(self, *, politely: bool, dying_at: int = 0) -> None:
        """End the service, one way or the other, and serve again."""
        self.restart(by=signal.SIGTERM if politely else signal.SIGKILL, dying_at=dying_at)
        for person in list(self.model.data.people.values()):
            self.look(person)

    def rotate_keys(self, *, dying_at: int = 0) -> None:
        """Wrap every key anew, while the service runs; what died on the way is finished by the next."""
        if not WITH_ROTATION:
            return
        if self.command("keys", "rotate", dying_at=dying_at).killed:
            ended = self.command("keys", "rotate")
            assert ended.code == 0, ended.printed
        for person in list(self.model.data.people.values()):
            self.look(person)

    # --- Backups

    def back_up(self, *, dying_at: int = 0) -> None:
        """Take a backup while the service runs. One that was interrupted is whole, or not there."""
        for person in list(self.model.data.people.values()):
            self.look(person)
        backup, data = self.ground.root.with_name(f"backup-{len(self.ever_backed_up)}"), deepcopy(self.model.data)
        ended = self.command("backup", str(backup), dying_at=dying_at) if WITH_BACKUPS else self._copied(backup)
        assert ended.code == 0 or ended.killed, ended.printed
        if backup.exists():
            self.backups.append((backup, data))
            self.ever_backed_up.append(backup)

    def restore(self, which: int, *, dying_at: int = 0) -> None:
        """Go back to a backup; interrupted, it was before or after. Newer backups are of a history that is no more."""
        number = which % len(self.backups)
        backup, data = self.backups[number]
        after = deepcopy(self.model)
        after.restore(data)
        self.ground.stop()
        if dying_at and WITH_BACKUPS:
            self.ground.doom(dying_at)
        ended = self.ground.run(["restore", str(backup)]) if WITH_BACKUPS else self._copied_back(backup)
        self.deaths += filter(None, [self.ground.spare()])
        assert ended.code == 0 or ended.killed, ended.printed
        assert self.ground.start(), "the service does not come up after a restore"
        candidates = [deepcopy(self.model), after] if ended.killed else [after]
        self._adopt((one for one in candidates if self._parties_agree(one)), self.people, f"restore {ended.printed}")
        if self.model is after:
            del self.backups[number + 1 :]
        self.nothing_left()

    def _copied(self, backup: Path) -> Ended:
        """Back up by hand: copy the data while nobody serves."""
        self.ground.stop()
        shutil.copytree(self.ground.root / "data", backup)
        self.start()
        return Ended(0, "")

    def _copied_back(self, backup: Path) -> Ended:
        """Restore by hand."""
        shutil.rmtree(self.ground.root / "data")
        shutil.copytree(backup, self.ground.root / "data")
        return Ended(0, "")

    def _parties_agree(self, model: Model) -> bool:
        """Say whether just those keys work that should, and the notices are the ones in force."""
        notices = {one["purpose"]: one["sha256"] for one in self.ground.client.get("/v1/notices").json()["items"]}
        keys = {secret: self._key_works(secret) for secret in self.keys_ever}
        in_force = {secret: model.asking(secret) is not None for secret in self.keys_ever}
        return notices == model.data.notices and keys == in_force

    # --- At the end

    def all_told(self) -> None:
        """Hold everything that is shown, and every byte, against what must be true."""
        self._nobody_else_gets_in()
        for person in list(self.model.data.people.values()):
            if person.secrets():
                self._every_right(person.secrets()[0])
        self._every_reference()
        assert files.shut(self.ground.root) == set(), "sealed, and no key opens it"
        for backup in self.ever_backed_up:
            assert files.open_though_ended(self.ground.root, backup / "mien.db", self.model.over) == [], "law 3"
        self.ground.stop()
        assert self.keys.left() == 0, "a key that is gone is still in a file"
        self.nothing_left()
        assert files.sound(self.ground.root) == []

    def _nobody_else_gets_in(self) -> None:
        for subject_id, secrets in self.secrets.items():
            person = self.model.data.people.get(subject_id)
            in_force = [] if person is None else person.secrets()
            for secret in secrets:
                self.answered(self.model, See(secret), self._sent(See(secret)))
                assert (secret in in_force) == (self.model.whose(secret) is not None)

    def _sent(self, act: Act) -> httpx.Response:
        response = self.sent(act)
        assert response is not None
        return response

    def _every_right(self, secret: str) -> None:
        person = self.model.whose(secret)
        document = self.look(person)
        assert person is not None
        export = See(secret, "export")
        response = self._sent(export)
        self.answered(self.model, export, response)
        seen.exported(document, response.content)
        shown = [body_of(self._sent(See(secret, what))) for what in ("consents", "comparisons", "enrolments", "tokens")]
        consents, comparisons, enrolments, tokens = shown
        seen.same(
            "events, newest first",
            [one["consent_id"] for one in consents["items"]],
            [one["content"]["consent_id"] for one in reversed(document["data"]["consent_events"])],
        )
        seen.same(
            "lines, newest first",
            [one["comparison_id"] for one in comparisons["items"]],
            [one["id"] for one in reversed(document["data"]["comparisons"])],
        )
        seen.same("enrolments", {one["enrolment_id"] for one in enrolments["items"]}, set(person.enrolments()))
        seen.same("tokens", len(tokens["items"]), sum(one.kind == "access" for one in person.tokens))

    def _every_reference(self) -> None:
        """Ask for every reference that ever was, and list those in force."""
        for party in list(self.model.data.parties.values()):
            if (party.secret is None) or party.revoked:
                continue
            headers = {"Authorization": f"Bearer {party.secret}"}
            listed = self.ground.client.get("/v1/relying-party/subjects", headers=headers).json()["items"]
            live = {
                grant.ref.value
                for person in self.model.data.people.values()
                for grant in person.grants
                if grant.party == party.id and self.model.live(person, grant)
            }
            seen.same("references", {one["subject_ref"] for one in listed}, live)
            for _, ref in [*self.refs, ("", "never-was")]:
                act = Verify(party.secret, ref, 0)
                self.answered(self.model, act, self._sent(act))
