"""Time a backup of 100,000 people, a restore, and the search for dead rows at a start, after a tenth ended something.

    .venv/bin/python -m benchmarks.backup_and_dead_rows [PEOPLE]

The people are rows, written directly (`benchmarks.people_as_rows`). Of each hundred, five are erased after the backup,
three withdraw and two revoke a token. These ends are in the register only, so that the data is as after a restore. The
search for dead rows is timed in its own process, twice: with the backup put back by hand, and again without dead rows.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Final

from sqlalchemy import select

from app.consent.tables import Grant
from app.db.sqlite import files
from app.jobs.maintenance import purge_dead_rows
from app.kit.clock import utc_now
from app.settings import MIB, Settings
from app.startup import Run, prepare
from app.subjects.tables import Token
from app.vault.open import DATA_FILE, open_vault
from app.vault.register import Ended
from app.vault.tables import EndedKind
from app.vault.vault import Vault
from benchmarks.people_as_rows import Filler
from benchmarks.report import machine, say, table
from benchmarks.service import PARTY, Service
from tests.support.sqlite_stores import in_file

PEOPLE: Final = 100_000
TENTH: Final = 10
AT_ONCE: Final = 2_000


def settings_in(root: Path) -> Settings:
    """Return the settings of the service in *root*."""
    return Settings(data_dir=root / "data", keys_dir=root / "keys")


def end_a_tenth(vault: Vault, today: date) -> int:
    """Write into the register what ended; return how many ended something."""
    with vault.data.read() as session:
        grants = session.execute(select(Grant.subject_id, Grant.id).order_by(Grant.id)).all()
        tokens = {row.subject_id: row.id for row in session.execute(select(Token.subject_id, Token.id))}
    ended: list[Ended] = []
    chosen = grants[::TENTH]
    for place, (subject_id, grant_id) in enumerate(chosen):
        match place % 10:
            case 0 | 1 | 2 | 3 | 4:
                ended += [
                    Ended(EndedKind.GRANT, grant_id, "erased", today),
                    Ended(EndedKind.SUBJECT, subject_id, "erased", today),
                ]
            case 5 | 6 | 7:
                ended.append(Ended(EndedKind.GRANT, grant_id, "withdrawn", today))
            case _:
                ended.append(Ended(EndedKind.TOKEN, tokens[subject_id], "revoked", today))
    for first in range(0, len(ended), AT_ONCE):
        vault.register.end(ended[first : first + AT_ONCE])
    return len(chosen)


def command(root: Path, verb: str) -> None:
    """Run `mien backup` or `mien restore`, for as long as it takes."""
    places = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
    words = [sys.executable, "-m", "app", verb, str(root / "backup"), "--json"]
    subprocess.run(words, env=os.environ | places, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own program


def look(root: Path) -> None:
    """Look for dead rows in this process, twice; print seconds, rows, and how much memory it took."""
    settings = settings_in(root)
    vault = open_vault(settings)
    before, found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(2):
        began, worked = time.perf_counter(), time.process_time()
        removed = purge_dead_rows(vault, settings=settings, now=utc_now())
        found.append([removed, time.perf_counter() - began, time.process_time() - worked])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    say(json.dumps({"looks": found, "grown_mib": grown / 1024}))


def main(people: int) -> None:
    """Measure and print everything."""
    say(machine())
    with Service(MIEN_ENGINE_WORKERS="1") as service:
        service.stop()
        root, rows = service.root, []
        vault = open_vault(settings_in(root))
        prepare(vault, settings_in(root), Run.MIGRATE)
        filler = Filler(
            vault, settings_in(root), service.command("relying-party", "add", "Door", *PARTY)["relying_party_id"]
        )
        filler.add(people)
        vault.checkpoint_all()
        size = vault.data.bytes() / MIB
        began = time.perf_counter()
        files.copy(in_file(vault.data).path, root / "copy.db")
        rows.append(["backup: the data is read for", f"{time.perf_counter() - began:.1f}"])
        began = time.perf_counter()
        command(root, "backup")
        rows.append(["backup: the whole command", f"{time.perf_counter() - began:.1f}"])
        began = time.perf_counter()
        ended = end_a_tenth(vault, utc_now().date())
        say(f"{people:,} people, {size:.0f} MiB; {ended:,} ended something, in {time.perf_counter() - began:.1f} s")
        vault.close()
        began = time.perf_counter()
        command(root, "restore")
        rows.append(["restore: the whole command", f"{time.perf_counter() - began:.1f}"])
        began = time.perf_counter()
        service.start()
        service.wait_ready()
        rows.append(["start to ready, nothing dead", f"{time.perf_counter() - began:.1f}"])
        service.stop()
        shutil.copyfile(root / "backup" / DATA_FILE, root / "data" / DATA_FILE)
        looking = [sys.executable, "-m", "benchmarks.backup_and_dead_rows", "look", str(root)]
        done = subprocess.run(looking, capture_output=True, check=True, text=True)  # noqa: S603 - our own program
        told = json.loads(done.stdout)
        for (removed, seconds, worked), what in zip(told["looks"], ("a tenth ended", "nothing dead"), strict=True):
            rows.append([f"look for dead rows, {what}: {removed:,} rows removed", f"{seconds:.1f} ({worked:.1f})"])
        rows.append(["memory that the looks took, MiB", f"{told['grown_mib']:.0f}"])
    table(["", "seconds (of processor)"], rows)
    say(machine())


if __name__ == "__main__":
    if sys.argv[1:2] == ["look"]:
        look(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else PEOPLE)
