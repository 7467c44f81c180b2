"""The code follows the rules of CONTRIBUTING. Every lint is tested with a fault that it must find."""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.architecture import lints
from tests.architecture.source import Module, modules

Lint = Callable[[Module], Iterator[str]]

LINTS: list[Lint] = [
    lints.permits_made,
    lints.clocks_read,
    lints.too_long,
    lints.imports_inside,
    lints.code_in_room_files,
    lints.settings_read,
    lints.vague_names,
    lints.relationships,
    lints.one_dialect,
]

FOUND: list[tuple[Lint, str, str]] = [
    (lints.permits_made, "app/comparisons/service.py", "from app.faces.permit import Permit\nPermit(grant_ids=())"),
    (lints.permits_made, "app/comparisons/service.py", "from app.faces.permit import Permit as P\nP(grant_ids=())"),
    (
        lints.permits_made,
        "app/comparisons/service.py",
        "import app.faces.permit\napp.faces.permit.Permit(grant_ids=())",
    ),
    (lints.permits_made, "app/comparisons/service.py", "from app.faces import permit\npermit.Permit(grant_ids=())"),
    (lints.permits_made, "app/comparisons/service.py", "from app.faces.permit import Permit\nobject.__new__(Permit)"),
    (lints.permits_made, "app/comparisons/service.py", "from app.faces.permit import Permit\nmake = Permit"),
    (lints.permits_made, "app/comparisons/service.py", "from app.faces.permit import Permit\nclass Mine(Permit): ..."),
    (lints.permits_made, "app/comparisons/service.py", "import dataclasses\ndataclasses.replace(permit, grant_ids=())"),
    (lints.permits_made, "app/comparisons/service.py", "job.permit.__replace__(grant_ids=())"),
    (lints.permits_made, "app/faces/permit.py", "class Permit: ...\nANY = Permit()"),
    (
        lints.permits_made,
        "app/comparisons/service.py",
        "from app.faces.permit import ImageStatement\nImageStatement(origin='x')",
    ),
    (
        lints.permits_made,
        "app/consent/service.py",
        "from app.faces.permit import ImageStatement\nImageStatement(origin='x')",
    ),
    (lints.permits_made, "app/evaluation/provenance.py", "from app.faces.permit import Permit\nPermit(grant_ids=())"),
    (
        lints.permits_made,
        "app/comparisons/service.py",
        "import dataclasses\ndataclasses.replace(image_statement, origin='y')",
    ),
    (lints.permits_made, "app/faces/permit.py", "class ImageStatement: ...\nANY = ImageStatement()"),
    (lints.clocks_read, "app/consent/policy.py", "from datetime import datetime, UTC\ndatetime.now(UTC)"),
    (lints.clocks_read, "app/consent/policy.py", "import datetime as d\nd.datetime.utcnow()"),
    (lints.clocks_read, "app/consent/policy.py", "from time import time as clock\nclock()"),
    (lints.clocks_read, "app/consent/tables.py", "from datetime import datetime\nColumn(default=datetime.now)"),
    (lints.clocks_read, "app/consent/tables.py", "from sqlalchemy import func\nColumn(server_default=func.now())"),
    (lints.clocks_read, "app/consent/tables.py", "import uuid\nuuid.uuid7()"),
    (lints.clocks_read, "app/consent/service.py", "import time\ntime.monotonic()"),
    (lints.too_long, "app/db/sqlite/store.py", "x = 1\n" * 301),
    (lints.too_long, "app/db/sqlite/store.py", "def f():\n" + "    x = 1\n" * 40),
    (lints.imports_inside, "app/db/sqlite/store.py", "def f():\n    if True:\n        import os"),
    (lints.imports_inside, "app/db/sqlite/store.py", "class C:\n    async def f(self):\n        from os import path"),
    (lints.code_in_room_files, "app/consent/__init__.py", '"""It must never refuse."""\nx = 1'),
    (lints.code_in_room_files, "app/consent/__init__.py", '"""Owns consent."""'),
    (lints.code_in_room_files, "app/__init__.py", ""),
    (lints.settings_read, "app/main.py", "from app.settings import Settings\nSettings()"),
    (lints.settings_read, "app/main.py", "from app import settings\nsettings.Settings()"),
    (lints.vague_names, "app/kit/utils.py", ""),
    (lints.vague_names, "app/consent/grant_helpers.py", ""),
    (lints.vague_names, "app/data/tables.py", ""),
    (lints.relationships, "app/consent/tables.py", "from sqlalchemy.orm import relationship\nx = relationship()"),
    (lints.relationships, "app/consent/tables.py", "from sqlalchemy.orm import relationship as r\nx = r()"),
    (lints.relationships, "app/consent/tables.py", "from sqlalchemy import orm\nx = orm.relationship('Other')"),
    (
        lints.relationships,
        "app/consent/tables.py",
        "from sqlalchemy.orm import relationship\nclass A:\n b: Mapped['Elsewhere'] = relationship()",
    ),
    (lints.one_dialect, "app/rights/access.py", "from sqlalchemy.dialects.sqlite import insert"),
    (lints.one_dialect, "app/rights/access.py", "from sqlalchemy.dialects import postgresql"),
    (lints.one_dialect, "app/rights/access.py", "import sqlalchemy.dialects.sqlite"),
    (lints.one_dialect, "app/rights/access.py", "import sqlalchemy\nsqlalchemy.dialects.sqlite.insert"),
    (lints.one_dialect, "app/rights/access.py", "import psycopg.errors"),
    (lints.one_dialect, "app/rights/access.py", "from sqlalchemy import text"),
    (lints.one_dialect, "app/rights/access.py", "import sqlalchemy as sa\nsa.text('SELECT 1')"),
    (lints.one_dialect, "app/rights/access.py", "connection.exec_driver_sql('PRAGMA user_version')"),
    (lints.one_dialect, "app/rights/tables.py", "Index('one', 'id', sqlite_where=condition)"),
    (lints.one_dialect, "app/rights/tables.py", "OPTIONS = {'sqlite_with_rowid': False}"),
]

ALLOWED: list[tuple[Lint, str, str]] = [
    (lints.permits_made, "app/consent/service.py", "from app.faces.permit import Permit\nPermit(grant_ids=())"),
    (
        lints.permits_made,
        "app/evaluation/provenance.py",
        "from app.faces.permit import ImageStatement\nImageStatement(origin='x')",
    ),
    (
        lints.permits_made,
        "app/faces/workers/pool.py",
        "from app.faces.permit import Permit\ndef f(p: Permit) -> T[Permit]:\n q: Permit = p\n isinstance(q, Permit)",
    ),
    (lints.permits_made, "app/web/dependencies.py", "path.replace('a', 'b')"),
    (lints.clocks_read, "app/kit/clock.py", "from datetime import datetime, UTC\ndatetime.now(UTC)"),
    (lints.clocks_read, "app/faces/workers/pool.py", "import time\ntime.monotonic()"),
    (lints.clocks_read, "app/consent/policy.py", "from datetime import datetime\ndef f(now: datetime): now.time()"),
    (lints.too_long, "app/db/sqlite/store.py", "def f():\n" + "    x = 1\n" * 39),
    (lints.imports_inside, "app/db/sqlite/store.py", "import os\ndef f(): os.getcwd()"),
    (lints.code_in_room_files, "app/consent/__init__.py", '"""Owns consent. It must never refuse."""'),
    (lints.settings_read, "app/cli/command.py", "from app.settings import Settings\nSettings()"),
    (lints.vague_names, "app/db/data_map.py", ""),
    (
        lints.relationships,
        "app/parties/tables.py",
        "from sqlalchemy.orm import relationship\nclass A:\n b: Mapped[list['B']] = relationship()\nclass B: ...",
    ),
    (lints.one_dialect, "app/db/upsert.py", "from sqlalchemy.dialects import postgresql, sqlite"),
    (lints.one_dialect, "app/vault/rotation.py", "from sqlalchemy import text"),
    (lints.one_dialect, "app/main.py", "configure(sqlite=1)"),
]


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_code_follows_the_rules(lint: Lint) -> None:
    faults = [fault for module in modules() for fault in lint(module)]

    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize(("lint", "path", "text"), FOUND)
def test_lint_finds_a_fault(lint: Lint, path: str, text: str) -> None:
    assert list(lint(Module(path, text)))


@pytest.mark.parametrize(("lint", "path", "text"), ALLOWED)
def test_lint_accepts_correct_code(lint: Lint, path: str, text: str) -> None:
    assert not list(lint(Module(path, text)))


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_every_lint_is_tested_with_a_fault(lint: Lint) -> None:
    assert lint in [shown for shown, _, _ in FOUND]


def test_each_class_name_in_app_belongs_to_one_class() -> None:
    places = defaultdict(list)
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.path}:{node.lineno}")

    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
