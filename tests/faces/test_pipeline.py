"""The pixels that an engine receives of a photo, and the photo that is kept."""

import io

import numpy as np
from PIL import Image

from app.faces.engine import Face, Pixels
from app.faces.workers import pipeline
from app.faces.workers.messages import Measurement
from tests.support.toy_engine import ToyEngine, toy_card
from tests.support.toy_faces import toy_photo

LARGE = toy_photo(1, size=(2000, 1500))


class RecordingEngine(ToyEngine):
    """Records the pixels that it receives."""

    def __init__(self) -> None:
        super().__init__(toy_card().digests)
        self.received: list[Pixels] = []

    def detect(self, pixels: Pixels) -> list[Face]:
        """Record the picture."""
        self.received.append(pixels)
        return super().detect(pixels)


def measured(engine: RecordingEngine, *, keep_photo: bool) -> Measurement:
    answer = pipeline.measure(engine, LARGE, keep_photo=keep_photo, max_pixels=25_000_000)
    assert isinstance(answer, Measurement)
    return answer


def test_a_picture_for_an_engine_is_no_larger_than_its_side() -> None:
    engine = RecordingEngine()
    measured(engine, keep_photo=False)

    assert [pixels.shape for pixels in engine.received] == [(480, 640, 3)]


def test_keeping_the_photo_does_not_change_the_measurement() -> None:
    engine = RecordingEngine()
    without, kept = measured(engine, keep_photo=False), measured(engine, keep_photo=True)
    assert kept.photo is not None

    assert np.array_equal(engine.received[0], engine.received[1])
    assert (without.vector, without.quality) == (kept.vector, kept.quality)
    assert (without.photo, Image.open(io.BytesIO(kept.photo)).size) == (None, (1280, 960))
