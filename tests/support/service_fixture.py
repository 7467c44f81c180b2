"""A whole service for one test, and its callers: real HTTP, databases and engine workers, with the toy engine."""

import asyncio
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import uvicorn
from sqlalchemy import event
from starlette.types import ASGIApp

from app import startup
from app.compliance import notice_facts
from app.consent.dependencies import ConsentState
from app.consent.facts import Facts
from app.db.sqlite.store import SqliteStore
from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import ImageStatement, Permit, PhotoUse, Purpose
from app.faces.workers import pipeline
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import MAX_PIXELS, EnginePool, PoolStatus
from app.main import create_app
from app.parties import service as parties
from app.settings import Settings
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.vault import Vault
from app.web.application_state import NAME
from app.web.connections import ConnectionLimits
from app.web.http_protocol import create_protocol
from app.web.lanes import Lanes
from tests.support.postgres_clusters import Databases
from tests.support.register_queries import generations
from tests.support.toy_engine import ToyEngine, toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

FOR_EVER = 1e9
"""Seconds of an interval that ends in no test: counted from 1970, one ends in 2001 and the next in 2033."""
POLL_S = 0.005
UNUSED_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of `http` addresses: by default each client reads all trusted certificates, in 50 ms."""
WORKERS = 2
"""Engine workers of the shared pool."""


class MovableClock:
    """A running clock that tests can move."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def __call__(self) -> datetime:
        """Return the time of the moved clock."""
        return datetime.now(UTC) + self.moved

    def advance(self, **by: float) -> None:
        """Move by a timedelta's arguments."""
        self.moved += timedelta(**by)


class SharedPool(EnginePool):
    """One pool for many services: a service that closes does not close it. Calls `before` and `after` each job."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self.reset()

    def reset(self) -> None:
        """Remove the hooks of the last test."""
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Do nothing; the shared pool runs already."""

    def close(self) -> None:
        """Do nothing; other tests use the shared pool."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Measure, between the two hooks."""
        self.before()
        measured = self._pool.measure(permit, images)
        self.after()
        return measured

    def measure_for_evaluation(
        self, stated: ImageStatement, images: Sequence[bytes], use: PhotoUse
    ) -> list[Measurement | Flaw]:
        """Measure for an evaluation, between the two hooks."""
        self.before()
        measured = self._pool.measure_for_evaluation(stated, images, use)
        self.after()
        return measured

    def is_idle(self) -> bool:
        """Return whether no image is measured now."""
        return self._pool.is_idle()

    def wait_full(self) -> None:
        """Wait until every worker runs; an earlier test may have killed one."""
        wait_until(lambda: self.status().workers == WORKERS)

    def status(self) -> PoolStatus:
        """Return the status of the pool."""
        return self._pool.status()


class ToyPool(SharedPool):
    """Measures with the toy engine in this process, so that a killed process leaves no worker behind."""

    def __init__(self, engine: ToyEngine | None = None) -> None:
        self._engine = engine or ToyEngine(toy_card().digests)
        self.reset()

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Measure in this process."""
        if not isinstance(permit, Permit):
            raise TypeError("no permit, no pixels")
        keep, use = permit.keeps_photos, permit.use
        self.before()
        measured = [
            pipeline.measure(self._engine, one, use=use, keep_photo=keep, max_pixels=MAX_PIXELS) for one in images
        ]
        self.after()
        return measured

    def is_idle(self) -> bool:
        """Return True; there is no queue."""
        return True

    def status(self) -> PoolStatus:
        """Return a ready status."""
        return PoolStatus(
            ready=True,
            workers=1,
            sandbox="unknown",
            missing=(),
            engine=self._engine.id,
            weights_verified=True,
            reason=None,
        )


@dataclass
class Person:
    """A registered subject with their credentials; a call sends a request as the subject."""

    client: httpx.Client
    subject_id: str
    token: str
    recovery_code: str

    def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Send a request as this person."""
        headers = {"Authorization": f"Bearer {self.token}", **sent.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **sent)


@dataclass
class Party:
    """A relying party with its key; a call sends a request as the relying party."""

    client: httpx.Client
    id: str
    key: str

    def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Send a request as this relying party."""
        headers = {"Authorization": f"Bearer {self.key}", **sent.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **sent)

    def verify(self, subject_ref: str, probe: bytes) -> httpx.Response:
        """Request a verification of *probe* as the subject behind *subject_ref*."""
        return self("POST", "/v1/verifications", data={"subject_ref": subject_ref}, files={"probe": probe})


@dataclass
class RunningService:
    """One running service."""

    root: Path
    settings: Settings
    vault: Vault
    pool: SharedPool
    clock: MovableClock
    client: httpx.Client
    facts: Facts
    """The facts that its notices state."""
    lanes: Lanes
    """The turns of its requests."""

    def person(self, name: str | None = "Ada Canary") -> Person:
        """Register a subject."""
        given = self.client.post("/v1/subjects", json={"declared_adult": True, "display_name": name})
        assert given.status_code == 201, given.text
        body = given.json()
        return Person(self.client, body["subject_id"], body["access_token"], body["recovery_code"])

    def party(self, name: str = "Door", *purposes: Purpose) -> Party:
        """Add a relying party, as the operator's command does."""
        with self.vault.data.write() as session:
            party, key = parties.add(
                session,
                name=name,
                contact="door@example.org",
                purposes=purposes or [Purpose.VERIFICATION],
                alternative="a key card",
                now=self.clock(),
            )
        return Party(self.client, str(party.relying_party_id), key)

    def notice(self, purpose: str) -> str:
        """Return the digest of the notice in force for *purpose*."""
        found = {item["purpose"]: item["sha256"] for item in self.client.get("/v1/notices").json()["items"]}
        return str(found[purpose])

    def consent(
        self, person: Person, party: Party | None, purpose: str = "verification", **more: Any
    ) -> dict[str, Any]:
        """Let *person* consent; returns the decision."""
        body = {"purpose": purpose, "notice_sha256": self.notice(purpose), **more}
        if party is not None:
            body["relying_party_id"] = party.id
        given = person("POST", "/v1/me/consents", json=body)
        assert given.status_code in {200, 201}, given.text
        answer: dict[str, Any] = given.json()
        return answer

    def enrolled(self, face: int = 1, *, party: Party | None = None) -> tuple[Person, Party, dict[str, Any]]:
        """Return a person enrolled with *face* for a party, that party, and the consent."""
        person, party = self.person(), party or self.party()
        consent = self.consent(person, party)
        answer = enrol(person, [consent["consent_id"]], [toy_photo(face), toy_photo(face, variant=2)])
        assert answer.status_code == 201, answer.text
        return person, party, consent

    def living_keys(self, *consent_ids: str) -> dict[str, set[int]]:
        """Return the generations of the keys of these consents, without the consents that have none."""
        living = generations(self.vault.register)
        found = {one: living.get(Owner.grant(UUID(one)).digest, set()) for one in consent_ids}
        return {one: generations for one, generations in found.items() if generations}

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Read every file of both directories."""
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                yield path, path.read_bytes()


def enrol(person: Person, consent_ids: Sequence[str | UUID], photos: Sequence[bytes], **more: Any) -> httpx.Response:
    """Enrol *photos* for the consents."""
    data = {"consent_id": [str(one) for one in consent_ids], **more}
    files = [("photos", (f"{index}.png", photo)) for index, photo in enumerate(photos)]
    return person("POST", "/v1/me/enrolments", data=data, files=files)


MakeRoot: TypeAlias = Callable[[Path], Path]
"""Makes a fresh copy of the prepared databases in a directory."""
URLS = "urls.json"
"""File beside the directories of a service on PostgreSQL, with the addresses of its databases."""


def name_databases(root: Path, databases: Databases) -> None:
    """Let the service in *root* use these databases."""
    root.mkdir(exist_ok=True)
    (root / URLS).write_text(json.dumps(databases.settings()), "utf-8")


def settings_for(root: Path, **more: Any) -> Settings:
    """Return settings for a service in *root*, on PostgreSQL if `name_databases` was called.

    Unless a test asks for it, no batch of the transparency log is due, and none has a random size.
    """
    urls = json.loads((root / URLS).read_text("utf-8")) if (root / URLS).exists() else {}
    return Settings(
        data_dir=root / "data",
        keys_dir=root / "keys",
        **urls,
        **{"sqlite_busy_s": 30.0, "log_interval": FOR_EVER, "log_noise": 0, "ending_ballast_mib": 1, **more},
    )


def prepare(root: Path, card: Card | None = None) -> None:
    """Make both databases in *root*, migrated, with the notices that ship, for the engine of *card* (default: toy)."""
    settings = settings_for(root)
    vault = open_vault(settings)
    facts = notice_facts.collect(settings, card or toy_card())
    startup.prepare(vault, settings, startup.Run.MIGRATE, facts=facts)
    vault.checkpoint_all()
    vault.close()


def skip_fsync(vault: Vault) -> None:
    """Commit without fsync, which takes milliseconds: no test cuts the power."""
    for store in (vault.data, vault.register.store):
        if not isinstance(store, SqliteStore):
            # The clusters of the tests run without it.
            continue
        store.writer.dispose()
        event.listen(store.writer, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))


@contextmanager
def serving(
    root: Path,
    pool: SharedPool,
    card: Card,
    *,
    clock: MovableClock | None = None,
    background: bool = True,
    **more: Any,
) -> Iterator[RunningService]:
    """Serve from the databases in *root*; without *background*, no job runs beside the requests."""
    settings, clock = settings_for(root, **more), clock or MovableClock()
    vault = open_vault(settings)
    if vault.data.removes_bytes:
        skip_fsync(vault)
    app = create_app(settings, vault, (pool, card), clock=clock, background=background)
    with (
        listening(app) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, verify=UNUSED_TLS) as client,
    ):
        state: ConsentState = getattr(app.state, NAME)
        yield RunningService(root, settings, vault, pool, clock, client, state.notice_facts, state.lanes)


class QuickServer(uvicorn.Server):
    """Stops without uvicorn's two fixed pauses of 0.1 s."""

    async def main_loop(self) -> None:
        """Serve until the server should stop."""
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(POLL_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress, then stop the application."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(POLL_S)
        await self.lifespan.shutdown()


@contextmanager
def listening(app: ASGIApp, limits: ConnectionLimits = ConnectionLimits()) -> Iterator[int]:  # noqa: B008 - immutable
    """Serve *app* from a thread; gives the port."""
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=create_protocol(limits), **quiet)
    server = QuickServer(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            msg = "the service did not start"
            raise RuntimeError(msg)
        time.sleep(POLL_S)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def copied(template: Path, root: Path) -> Path:
    """Copy prepared databases to *root*; hard links stay hard links."""
    there: dict[int, str] = {}

    def copy(source: str, to: str) -> None:
        inode = Path(source).stat().st_ino
        if inode in there:
            Path(to).hardlink_to(there[inode])
        else:
            there[inode] = shutil.copy2(source, to)

    shutil.copytree(template, root, copy_function=copy)
    return root
