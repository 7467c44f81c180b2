"""`sface` decides as OpenCV does without Mien, on every pair of the synthetic people's photos."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from app.faces.cards.card import load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from tests.architecture.source import ROOT
from tests.faces.conftest import distance, pool_of

pytestmark = pytest.mark.slow

PHOTOS = sorted((Path(__file__).parents[1] / "images" / "people").glob("*/*.jpg"))


def test_sface_decides_as_opencv_does_without_mien() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faces.opencv_alone", *PHOTOS], cwd=ROOT, capture_output=True, check=True
    )
    alone = [np.array(vector) for vector in json.loads(done.stdout)]
    with pool_of("sface") as pool:
        ours = pool.measure(Permit(grant_ids=()), [photo.read_bytes() for photo in PHOTOS])
    threshold = find_operating_point(load_card("sface")).threshold
    pairs = list(combinations(range(len(PHOTOS)), 2))
    by_itself = {(a, b): 1 - float(alone[a] @ alone[b]) for a, b in pairs}
    by_mien = {(a, b): distance(ours[a], ours[b], "cosine") for a, b in pairs}

    assert len(PHOTOS) == 18
    assert all(isinstance(one, Measurement) for one in ours)
    assert {pair: apart < threshold for pair, apart in by_mien.items()} == {
        pair: apart < threshold for pair, apart in by_itself.items()
    }
    # OpenCV searches the whole picture and Mien a reduced one, so the crops differ a little.
    assert max(abs(by_mien[pair] - by_itself[pair]) for pair in pairs) < 0.15
