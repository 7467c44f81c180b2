"""The acts of the operator, and the search through all files at the end of a walk."""

import json
import signal
from collections import Counter
from copy import deepcopy
from pathlib import Path

import httpx

from app.compliance.shipped_notices import VERSION
from tests.consent.drafts import draft
from tests.crash import log_files
from tests.machine import files, observed_state
from tests.machine.acts import Act
from tests.machine.acts_of_right import See, Verify
from tests.machine.model import Model, Party
from tests.machine.receipts import receipt_of
from tests.machine.store_harness import ServedStore
from tests.machine.walk import Walk, body_of


def made_at(backup: Path) -> str:
    """Return the time in the manifest of a backup."""
    return str(json.loads((backup / "manifest.json").read_text())["made_at"])


class Operators(Walk):
    """A walk with an operator."""

    _published = VERSION

    def __init__(self, store: ServedStore, model: Model) -> None:
        super().__init__(store, model)
        self.ever_backed_up: list[Path] = []
        self.refused: list[Path] = []
        self._restored: list[Path] = []
        """The restored backups, in order."""
        self._follows: dict[Path, frozenset[int]] = {}
        """The restores that came before each backup."""
        self.keys_ever = [one.secret for one in model.data.parties.values() if one.secret is not None]

    def _party(self, which: int) -> Party:
        parties = sorted(self.model.data.parties.values(), key=lambda one: one.name)
        return parties[which % len(parties)]

    def _key_works(self, secret: str | None) -> bool:
        headers = {"Authorization": f"Bearer {secret or 'mien_rp_lost'}"}
        return self.store.client.get("/v1/relying-party", headers=headers).status_code == 200

    def rotate_party(self, which: int, *, kill_at: int = 0) -> None:
        """Rotate the key of a relying party; if the command dies, the old key works, or an unknown one."""
        party = self._party(which)
        old = party.secret
        ended = self.command("relying-party", "rotate-key", party.id, kill_at=kill_at)
        party = self.model.data.parties[party.id]
        if ended.killed:
            if old is not None and not self._key_works(old):
                self.model.ended.keys.add(old)
                party.secret = None
            return
        observed_state.same("rotating a key", ended.code, 1 if party.revoked else 0)
        if ended.code == 0:
            self.model.ended.keys |= {old} - {None}  # type: ignore[arg-type]
            party.secret = ended.answer["api_key"]
            self.keys_ever.append(ended.answer["api_key"])

    def revoke_party(self, which: int, *, kill_at: int = 0) -> None:
        """Revoke a relying party."""
        party = self._party(which)
        was = party.revoked
        ended = self.command("relying-party", "revoke", party.id, kill_at=kill_at)
        if ended.killed:
            listed = self.store.client.get("/v1/relying-parties").json()["items"]
            if party.id in {one["relying_party_id"] for one in listed}:
                return
        else:
            observed_state.same("revoking a party", ended.code, 1 if was else 0)
        party = self.model.data.parties[party.id]
        party.revoked = True
        self.model.ended.parties.add(party.id)

    def publish(self, purpose: str) -> None:
        """Publish another notice."""
        self._published += 1
        file = self.store.root.with_name("notice.md")
        file.write_bytes(draft(purpose, version=self._published))
        ended = self.command("notice", "publish", str(file))
        assert ended.code == 0, ended.printed
        self.model.data.notices[purpose] = ended.answer["sha256"]

    def maintain(self, *, kill_at: int = 0) -> None:
        """Run maintenance by command, beside the service."""
        if not self.command("sweep", kill_at=kill_at).killed:
            self.model.maintain()

    def stop_and_start(self, *, politely: bool, kill_at: int = 0) -> None:
        """End the service with SIGTERM or SIGKILL, and start it again."""
        self.restart(by=signal.SIGTERM if politely else signal.SIGKILL, kill_at=kill_at)
        for person in list(self.model.data.people.values()):
            self.look(person)

    def rotate_keys(self, *, kill_at: int = 0) -> None:
        """Rotate the key-encryption key while the service runs; the next command completes one that died."""
        if self.command("keys", "rotate", kill_at=kill_at).killed:
            ended = self.command("keys", "rotate")
            assert ended.code == 0, ended.printed
        for person in list(self.model.data.people.values()):
            self.look(person)

    # --- Backups

    def back_up(self, *, kill_at: int = 0) -> None:
        """Create a backup while the service runs. An interrupted one is complete or does not exist."""
        # No two backups have the same time.
        self.move(seconds=1)
        for person in list(self.model.data.people.values()):
            self.look(person)
        backup, data = self.store.root.with_name(f"backup-{len(self.ever_backed_up)}"), deepcopy(self.model.data)
        ended = self.command("backup", str(backup), kill_at=kill_at)
        assert ended.code == 0 or ended.killed, ended.printed
        if backup.exists():
            self.backups.append((backup, data))
            self.ever_backed_up.append(backup)
            self._follows[backup] = frozenset(range(len(self._restored)))

    def restore(self, which: int, *, kill_at: int = 0) -> None:
        """Restore a backup; an interrupted restore is done or not done. Newer backups are discarded."""
        number = which % len(self.backups)
        backup, data = self.backups[number]
        after = deepcopy(self.model)
        after.restore(data)
        self.store.stop()
        if self._left(backup):
            self._refuses(backup)
            assert self.store.start(), "the service does not come up after a restore that was refused"
            self.model.maintain()
            return
        if kill_at:
            self.store.kill_at_step(kill_at)
        ended = self.store.run(["restore", str(backup)])
        self.deaths += filter(None, [self.store.cancel_kill()])
        assert ended.code == 0 or ended.killed, ended.printed
        placed = files.restorations(self.store.root) > len(self._restored)
        assert placed or ended.killed
        assert self.store.start(), "the service does not come up after a restore"
        self._adopt(
            iter([after if placed else deepcopy(self.model)]), self.people, f"restore {ended.printed}", maintained=True
        )
        assert self._parties_agree(self.model), f"restore {ended.printed}"
        if placed:
            self._restored.append(backup)
            del self.backups[number + 1 :]
        self.check_no_traces()

    def _left(self, backup: Path) -> bool:
        """Return whether a backup is discarded: made after a restored backup, but before its restore."""
        since = set(range(len(self._restored))) - self._follows[backup]
        return any(self._restored[one] != backup and made_at(backup) >= made_at(self._restored[one]) for one in since)

    def _refuses(self, backup: Path) -> None:
        ended = self.store.run(["restore", str(backup)])
        assert (ended.code, "was discarded when" in ended.printed) == (1, True), ended.printed
        self.refused.append(backup)

    def _parties_agree(self, model: Model) -> bool:
        """Return whether exactly the expected keys work, and the expected notices are in force."""
        notices = {one["purpose"]: one["sha256"] for one in self.store.client.get("/v1/notices").json()["items"]}
        keys = {secret: self._key_works(secret) for secret in self.keys_ever}
        in_force = {secret: model.asking(secret) is not None for secret in self.keys_ever}
        return notices == model.data.notices and keys == in_force

    # --- At the end

    def check_all(self) -> None:
        """Compare every answer and every file with the model, at the end of a walk."""
        self._only_valid_tokens_work()
        for person in list(self.model.data.people.values()):
            if person.secrets():
                self._every_right(person.secrets()[0])
        self._every_reference()
        assert files.shut(self.store.root) == set(), "sealed values that no key opens"
        assert log_files.found_in(self.store.root, self.promised) == []
        for backup in self.ever_backed_up:
            assert files.opened_though_ended(self.store.root, backup / "mien.db", self.model.ended) == [], "law 3"
        self.store.stop()
        for backup in filter(self._left, self.ever_backed_up):
            self._refuses(backup)
        assert self.keys.left() == 0, "a key that is gone is still in a file"
        self.check_no_traces()
        assert files.sound(self.store.root) == []

    def _only_valid_tokens_work(self) -> None:
        for subject_id, secrets in self.secrets.items():
            person = self.model.data.people.get(subject_id)
            in_force = [] if person is None else person.secrets()
            for secret in secrets:
                self.answered(self.model, See(secret), self._sent(See(secret)))
                assert (secret in in_force) == (self.model.holder(secret) is not None)

    def _sent(self, act: Act) -> httpx.Response:
        response = self.sent(act)
        assert response is not None
        return response

    def _every_right(self, secret: str) -> None:
        person = self.model.holder(secret)
        document = self.look(person)
        assert person is not None
        export = See(secret, "export")
        response = self._sent(export)
        self.answered(self.model, export, response)
        observed_state.exported(document, response.content)
        lists = ("consents", "comparisons", "enrolments", "tokens", "receipts")
        shown = [body_of(self._sent(See(secret, f"{name}?limit=100"))) for name in lists]
        consents, comparisons, enrolments, tokens, receipts = shown
        observed_state.same(
            "events, newest first",
            [one["consent_id"] for one in consents["items"]],
            [one["content"]["consent_id"] for one in reversed(document["data"]["consent_events"])],
        )
        observed_state.same(
            "comparisons, newest first",
            [one["comparison_id"] for one in comparisons["items"]],
            [one["id"] for one in reversed(document["data"]["comparisons"])],
        )
        observed_state.same(
            "enrolments", {one["enrolment_id"] for one in enrolments["items"]}, set(person.enrolments())
        )
        observed_state.same("tokens", len(tokens["items"]), sum(one.kind == "access" for one in person.tokens))
        observed_state.same("kinds of receipts", Counter(map(receipt_of, receipts["items"])), person.receipts())

    def _every_reference(self) -> None:
        """Verify with every reference that ever existed, and list those in force."""
        for party in list(self.model.data.parties.values()):
            if (party.secret is None) or party.revoked:
                continue
            headers = {"Authorization": f"Bearer {party.secret}"}
            listed = self.store.client.get("/v1/relying-party/subjects", headers=headers).json()["items"]
            live = {
                grant.ref.value
                for person in self.model.data.people.values()
                for grant in person.grants
                if grant.party == party.id and grant.ends > self.model.now
            }
            observed_state.same("references", {one["subject_ref"] for one in listed}, live)
            for _, ref in [*self.refs, ("", "never-was")]:
                act = Verify(party.secret, ref, 0)
                self.answered(self.model, act, self._sent(act))
