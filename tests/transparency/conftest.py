"""Fixtures of the tests of the transparency log and receipts."""

import pytest

from tests.transparency.signed_bundles import Signer


@pytest.fixture
def signer() -> Signer:
    return Signer()
