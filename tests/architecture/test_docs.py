"""Every public error and setting is documented, and every documented one exists."""

import ast
import json
import re
from collections.abc import Iterable, Iterator

import pytest

from app.faces.cards.operating_point import choose_operating_point
from app.faces.cards.select import select_card
from app.faces.flaws import Flaw
from app.kit.errors import Problem
from app.main import create_app  # noqa: F401 - imports every room, and with it every kind of problem
from app.settings import Settings
from tests.architecture.source import ROOT, Module, modules


def slugs(sources: Iterable[Module]) -> dict[str, str]:
    """Return the slug of every kind of ``Problem``, with its class."""
    classes = [node for module in sources for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    kinds = {"Problem"}
    while grown := {kind.name for kind in classes if kinds & {_name(base) for base in kind.bases}} - kinds:
        kinds |= grown
    return {
        statement.value.value: kind.name
        for kind in classes
        if kind.name in kinds
        for statement in kind.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and "slug" in {_name(target) for target in getattr(statement, "targets", [getattr(statement, "target", None)])}
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }


def _name(node: ast.AST | None) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def headings(text: str) -> set[str]:
    """Return the headings of a page, without their marks: ``## `not-found` `` gives ``not-found``."""
    return {line.strip("# `") for line in text.splitlines() if line.startswith("#")}


def variables(text: str) -> set[str]:
    """Return the settings in *text*, as environment variables."""
    return set(re.findall(r"\bMIEN_[A-Z0-9_]*[A-Z0-9]\b", text))


def settings() -> set[str]:
    """Return every setting, as its environment variable."""
    return {f"MIEN_{name.upper()}" for name in Settings.model_fields}


def test_every_error_has_a_heading() -> None:
    known = slugs(modules())
    written = headings((ROOT / "docs" / "reference" / "errors.md").read_text("utf-8"))

    assert known
    assert not {slug: kind for slug, kind in known.items() if slug not in written}


def test_every_flaw_of_a_photo_has_a_heading() -> None:
    written = headings((ROOT / "docs" / "reference" / "errors.md").read_text("utf-8"))

    assert not {flaw.slug for flaw in Flaw} - written


def test_every_setting_is_documented() -> None:
    written = variables((ROOT / "docs" / "reference" / "settings.md").read_text("utf-8"))

    assert not settings() - written


@pytest.mark.parametrize("path", ["README.md", "docs/reference/settings.md", "Dockerfile", "compose.yaml"])
def test_every_documented_setting_exists(path: str) -> None:
    written = variables((ROOT / path).read_text("utf-8"))

    assert not written - settings()


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return the file and the name of each test in *text*. `::test_x` belongs to the file before it."""
    file, found = "", []
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", text):
        file = path or file
        if name:
            found.append((file, name))
    return found


@pytest.mark.parametrize(
    "path", ["docs/reference/laws.md", "docs/reference/security.md", "docs/reference/storage-faults.md"]
)
def test_every_documented_test_exists(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    # docs/reference/storage-faults.md says where its tests are unless another place is named.
    text = re.sub(r"`(test_\w+\.py::)", r"`tests/faults/\1", text)
    named = named_tests(text)

    assert named
    assert not [one for one in named if f"def {one[1]}(" not in (ROOT / one[0]).read_text("utf-8")]


def test_every_place_that_enforces_a_law_exists() -> None:
    """A place is a name and its file, as in: `open_template` (`app/templates/store.py`)."""
    text = (ROOT / "docs/reference/laws.md").read_text("utf-8")
    places = re.findall(r"`(\w+)`\s+\(`(app/[\w/]+\.py)`", text)

    assert len(places) > 5
    assert not [name for name, path in places if not re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8"))]


def test_slugs_of_derived_kinds_are_found() -> None:
    source = 'class A(Problem): slug = "a-b"\nclass B(errors.A): slug: ClassVar[str] = "c"\nclass N: slug = "n"'

    assert slugs([Module("app/x.py", source)]) == {"a-b": "A", "c": "B"}


def test_headings_and_variables_are_read() -> None:
    assert headings("# Errors\n## `not-found`\nno-heading\n### gone") == {"Errors", "not-found", "gone"}
    assert variables("set `MIEN_DATA_DIR=x`, MIEN_PORTAL") == {"MIEN_DATA_DIR", "MIEN_PORTAL"}
    assert "MIEN_DATA_DIR" in settings()
    assert named_tests("`tests/a.py::test_b`, `::test_c`; `tests/d.py`; `::test_e`") == [
        *(("tests/a.py", "test_b"), ("tests/a.py", "test_c"), ("tests/d.py", "test_e")),
    ]


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    terms = [term.lower() for term in re.findall(r"^\| ([^|(]+?) *[(|]", text, re.MULTILINE)][1:]

    assert len(terms) > 50
    assert terms == sorted(terms)


def kinds_of_problem(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield every kind of problem that the application imports."""
    for derived in kind.__subclasses__():
        yield derived
        yield from kinds_of_problem(derived)


def test_every_example_of_an_error_has_a_title_of_the_code() -> None:
    titles = {(getattr(kind, "slug", ""), getattr(kind, "title", "")) for kind in kinds_of_problem()}
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    examples = [json.loads(example) for example in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]

    assert len(examples) > 20
    assert not [e for e in examples if (e["type"].rpartition(":")[2], e["title"]) not in titles]


def test_the_misses_that_a_page_states_are_those_of_the_card() -> None:
    settings = Settings()
    rate = choose_operating_point(select_card(settings), settings).point.fnmr
    page = " ".join((ROOT / "docs" / "explanation" / "failed-comparisons.md").read_text("utf-8").split())

    assert f"about one honest comparison in {1 / rate:.0f} fails" in page
    assert f"20 different subjects fail among some {round(20 / rate, -1):.0f}." in page
