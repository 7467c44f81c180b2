"""What an engine is shown of a photo, and what is kept of it."""

import io

import numpy as np
from PIL import Image

from app.faces.engine import Face, Pixels
from app.faces.workers import pipeline
from app.faces.workers.messages import Measurement
from tests.support.toy_engine import ToyEngine, toy_card
from tests.support.toy_faces import toy_photo

LARGE = toy_photo(1, size=(2000, 1500))


class Watched(ToyEngine):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__(toy_card().digests)
        self.shown: list[Pixels] = []

    def detect(self, pixels: Pixels) -> list[Face]:
        """Note the picture."""
        self.shown.append(pixels)
        return super().detect(pixels)


def measured(engine: Watched, *, keep_photo: bool) -> Measurement:
    answer = pipeline.measure(engine, LARGE, keep_photo=keep_photo, max_pixels=25_000_000)
    assert isinstance(answer, Measurement)
    return answer


def test_an_engine_is_shown_no_more_than_its_side() -> None:
    engine = Watched()
    measured(engine, keep_photo=False)

    assert [pixels.shape for pixels in engine.shown] == [(480, 640, 3)]


def test_what_is_measured_is_the_same_whether_the_photo_is_kept_or_not() -> None:
    engine = Watched()
    without, kept = measured(engine, keep_photo=False), measured(engine, keep_photo=True)
    assert kept.photo is not None

    assert np.array_equal(engine.shown[0], engine.shown[1])
    assert (without.vector, without.quality) == (kept.vector, kept.quality)
    assert (without.photo, Image.open(io.BytesIO(kept.photo)).size) == (None, (1280, 960))
