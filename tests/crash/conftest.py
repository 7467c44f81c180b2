"""The option that writes the table."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table instead of comparing it."""
    parser.addoption("--write-table", action="store_true", help="write the results into docs/reference/reliability.md")
