"""What tests of the ledger may ask for."""

import pytest

from tests.ledger.signed import Signer


@pytest.fixture
def signer() -> Signer:
    return Signer()
