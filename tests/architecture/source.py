"""Python source for the lints: a file, its syntax tree, and its imported names."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One source file.

    Args:
        path: relative to the project, with forward slashes: ``app/kit/clock.py``.
        text: its content.
    """

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    @cached_property
    def imported(self) -> dict[str, str]:
        """The full name of each imported name: ``from time import time as t`` gives ``{"t": "time.time"}``."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    names[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
        return names

    def meaning(self, node: ast.AST) -> str | None:
        """Give the full dotted name that *node* stands for, or None where it starts at no import."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := self.meaning(node.value)):
            return f"{owner}.{node.attr}"
        return None

    def at(self, node: ast.AST, fault: str) -> str:
        """Return *fault* with its place, in a form that a terminal can open."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {fault}"


def modules(folder: str = "app") -> Iterator[Module]:
    """Give every source file below *folder*."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
