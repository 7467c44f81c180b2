"""What tests of the ledger may ask for."""

import pytest

from tests.transparency.signed_bundles import Signer


@pytest.fixture
def signer() -> Signer:
    return Signer()
