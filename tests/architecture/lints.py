"""Rules of the code, checked on the syntax tree. Each lint takes a module and yields its faults, one line each."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.architecture.source import Module

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

WALL_CLOCK = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "sqlalchemy.func.current_date",
    "sqlalchemy.func.current_timestamp",
    "sqlalchemy.func.localtimestamp",
    "sqlalchemy.func.now",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.strftime",
    "time.time",
    "time.time_ns",
    # These ids contain their time; those of this service are random.
    "uuid.uuid1",
    "uuid.uuid6",
    "uuid.uuid7",
}
STOPWATCH = {"time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"}
STOPWATCH_ROOMS = ("app/kit/", "app/db/", "app/web/", "app/faces/", "app/demo/", "app/evaluation/")

PERMITS = {"Permit": "app.consent", "ImageStatement": "app.evaluation"}
"""The two permissions to measure, and the only room that makes each."""

VAGUE = {"data", "helper", "helpers", "info", "manager", "managers", "util", "utils"}

PRECISE = {"data_map", "personal_data"}
"""Terms of the GDPR that contain a vague word."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def permits_made(module: Module) -> Iterator[str]:
    """Only one room makes each permit; elsewhere only annotations, subscripts and ``isinstance`` name its class."""
    harmless = {id(part) for node in ast.walk(module.tree) for place in _naming(node) for part in ast.walk(place)}
    for permit, maker in PERMITS.items():
        if module.path.startswith(f"{maker.replace('.', '/')}/"):
            continue
        fault = f"only {maker} makes a {permit}"
        for node in ast.walk(module.tree):
            name = module.meaning(node) or ""
            if name.startswith("app.") and name.endswith(f".{permit}") and id(node) not in harmless:
                yield module.at(node, fault)
            if isinstance(node, ast.Call) and _copies(permit, node):
                yield module.at(node, f"a changed copy of a {permit} is a new one")
            if module.path == "app/faces/permit.py" and isinstance(node, ast.Call) and _last(node.func) == permit:
                yield module.at(node, fault)


def _naming(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of *node* that name a class without making an instance."""
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    if isinstance(node, Function) and node.returns:
        yield node.returns
    if isinstance(node, ast.Subscript):
        yield node.slice
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        yield from node.args[1:]


def _copies(permit: str, call: ast.Call) -> bool:
    return _last(call.func) in {"replace", "__replace__"} and any(
        _last(part).lower().replace("_", "").endswith(permit.lower())
        for part in [*call.args[:1], getattr(call.func, "value", call)]
    )


def _last(node: ast.AST) -> str:
    """Return the last part of a dotted name, or an empty string."""
    return getattr(node, "attr", getattr(node, "id", ""))


def clocks_read(module: Module) -> Iterator[str]:
    """Only ``app/kit/clock.py`` reads the wall clock; a monotonic clock is for deadlines and measured durations."""
    if module.path == "app/kit/clock.py":
        return
    for node in ast.walk(module.tree):
        name = module.meaning(node)
        if name in WALL_CLOCK:
            yield module.at(node, f"{name}: only app/kit/clock.py reads the clock; take `now`")
        if name in STOPWATCH and not module.path.startswith(STOPWATCH_ROOMS):
            yield module.at(node, f"{name}: only {', '.join(STOPWATCH_ROOMS)} read a monotonic clock")


def too_long(module: Module) -> Iterator[str]:
    """A file has at most 300 lines, a function 40, with its docstring and without its decorators."""
    lines = len(module.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{module.path}:1: {lines} lines; a file has {MAX_FILE_LINES} at most"
    for node in ast.walk(module.tree):
        if isinstance(node, Function) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield module.at(node, f"{node.name} has {length} lines; a function has {MAX_FUNCTION_LINES} at most")


def imports_inside(module: Module) -> Iterator[str]:
    """No function has an import: all imports are at the top of the module."""
    for function in ast.walk(module.tree):
        if isinstance(function, Function):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield module.at(node, f"an import inside {function.name}")


def code_in_room_files(module: Module) -> Iterator[str]:
    """An `__init__.py` has a docstring that says what its room must never do, and no code."""
    if not module.path.endswith("/__init__.py"):
        return
    text = ast.get_docstring(module.tree) or ""
    if not re.search(r"\b(must|never)\b|\bOnly\b", text) and module.path != "app/__init__.py":
        yield f"{module.path}:1: does not say what the room must never do"
    if len(module.tree.body) > 1 or not text:
        yield f"{module.path}:1: has code, or no docstring"


def settings_read(module: Module) -> Iterator[str]:
    """Settings are read from the environment in one place, which refuses unknown ones."""
    for node in ast.walk(module.tree):
        called = isinstance(node, ast.Call) and not node.keywords and module.meaning(node.func)
        if called == "app.settings.Settings" and module.path != "app/cli/command.py":
            yield module.at(node, "reads the settings; call read_settings of app/cli/command.py")


def vague_names(module: Module) -> Iterator[str]:
    """No module has a vague name."""
    path = PurePosixPath(module.path)
    for part in (*path.parts[1:-1], path.stem):
        if part not in PRECISE and VAGUE & set(part.split("_")):
            yield f"{module.path}:1: {part!r} is a vague name"


PLAIN_SQL = {"app/vault/rotation.py": "one statement of standard SQL, executed for each of a million keys"}
"""Modules outside `app/db` that may write SQL as text, each with the reason."""


def one_dialect(module: Module) -> Iterator[str]:
    """Only `app/db` knows the dialects: elsewhere a statement has to mean the same on both stores."""
    if module.path.startswith("app/db/"):
        return
    for node in ast.walk(module.tree):
        names = [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [name] if isinstance(node, ast.Attribute) and (name := module.meaning(node)) else []
        for name in names:
            if name.startswith(("sqlalchemy.dialects", "psycopg")):
                yield module.at(node, f"{name}: one dialect; use a helper of app/db, such as Upsert")
            elif name == "sqlalchemy.text" and module.path not in PLAIN_SQL:
                yield module.at(node, "text(): write the statement with select(), which both dialects compile")
        if isinstance(node, ast.Attribute) and node.attr == "exec_driver_sql":
            yield module.at(node, "exec_driver_sql(): SQL of one driver")
        named: list[object] = [word.arg for word in node.keywords] if isinstance(node, ast.Call) else []
        named += [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
        for option in named:
            if isinstance(option, str) and option.startswith(("sqlite_", "postgresql_")):
                yield module.at(node, f"{option}: an option of one dialect; see app/db/types.py")


def relationships(module: Module) -> Iterator[str]:
    """No ORM relationship to a table of another module: it loads and deletes implicitly, and couples rooms."""
    own = {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}
    allowed = {
        id(node.value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AnnAssign) and own & set(re.findall(r"\w+", ast.unparse(node.annotation)))
    }
    for node in ast.walk(module.tree):
        if id(node) in allowed:
            continue
        if isinstance(node, ast.Call) and (
            _last(node.func) == "relationship" or module.meaning(node.func) == "sqlalchemy.orm.relationship"
        ):
            yield module.at(node, "relationship(): use a foreign key and a query")
