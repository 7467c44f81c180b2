"""Properties of the same-person check, of decisions, and of vectors."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comparisons.policy import Decision
from app.faces import vectors as features
from app.faces.cards.card import load_card
from app.faces.engine import METRICS, Metric
from app.faces.vectors import NumberForm
from app.templates.policy import MAX_PHOTOS, find_odd_photos
from app.verification.policy import decide

NUMBERS = st.floats(-1, 1, allow_nan=False)
WEIGHTS = "5a" * 32
VECTORS = st.lists(NUMBERS, min_size=1, max_size=128).map(tuple)
DIRECTED = VECTORS.filter(lambda vector: math.hypot(*vector) > 0.1)
METRIC: st.SearchStrategy[Metric] = st.sampled_from(METRICS)
POINTS = st.lists(st.floats(-3, 3).map(lambda x: (x,)), min_size=1, max_size=MAX_PHOTOS)
"""Vectors of photos as points on a line: near ones show one person."""
THRESHOLDS = st.floats(0.01, 2)


@given(distance=st.floats(0, 10), threshold=THRESHOLDS)
def test_a_decision_is_a_match_below_the_threshold_only(distance: float, threshold: float) -> None:
    assert decide(distance, threshold=threshold) is (Decision.MATCH if distance < threshold else Decision.NO_MATCH)
    assert decide(threshold, threshold=threshold) is Decision.NO_MATCH
    assert decide(math.nextafter(threshold, 0), threshold=threshold) is Decision.MATCH
    assert decide(math.nan, threshold=threshold) is Decision.NO_MATCH, "NaN is no match"


@given(photos=POINTS, threshold=THRESHOLDS)
def test_there_is_an_odd_photo_exactly_if_two_do_not_match(photos: list[tuple[float]], threshold: float) -> None:
    odd = find_odd_photos(photos, metric="l2", threshold=threshold)

    widest = max(features.distance(one, other, metric="l2") for one in photos for other in photos)
    assert bool(odd) == (widest >= threshold)
    assert odd == sorted(set(odd))
    assert set(odd) <= set(range(len(photos)))


@given(photos=POINTS, threshold=THRESHOLDS, data=st.data())
def test_the_order_of_the_photos_does_not_matter(
    photos: list[tuple[float]], threshold: float, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(photos))))

    shuffled = find_odd_photos([photos[index] for index in order], metric="l2", threshold=threshold)

    assert sorted(order[index] for index in shuffled) == find_odd_photos(photos, metric="l2", threshold=threshold)


@given(near=st.lists(st.floats(0, 0.4), min_size=2, max_size=4), place=st.integers(0, 4))
def test_the_only_photo_of_another_person_is_returned(near: list[float], place: int) -> None:
    photos = [(x,) for x in near]
    photos.insert(place, (9.0,))

    assert find_odd_photos(photos, metric="l2", threshold=0.5) == [min(place, len(near))]


@given(vector=VECTORS)
def test_every_number_of_a_template_is_within_half_a_scale(vector: tuple[float, ...]) -> None:
    packed = features.pack(vector, weights_sha256=WEIGHTS)
    found = features.unpack(packed)

    assert (found.weights_sha256, found.form, len(found.vector)) == (WEIGHTS, NumberForm.INT8, len(vector))
    assert found.scale is not None
    for stored, number in zip(found.vector, vector, strict=True):
        assert abs(stored - number) <= found.scale * 0.501
    assert features.pack(found.vector, weights_sha256=WEIGHTS) == packed, "a second rounding changes nothing"


@pytest.mark.parametrize("vector", [(0.0, 0.0), (5e-324, 0.0), (1e300, -1e-300), (-3.4e38, 1e38)])
def test_every_finite_vector_has_a_template(vector: tuple[float, ...]) -> None:
    found = features.unpack(features.pack(vector, weights_sha256=WEIGHTS))

    assert all(map(math.isfinite, found.vector))
    assert [math.copysign(1, one) for one in found.vector if one] == [
        math.copysign(1, number) for one, number in zip(found.vector, vector, strict=True) if one
    ]


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([64, 128, 512]))
def test_a_template_hardly_moves_a_distance(metric: Metric, seed: int, size: int) -> None:
    """The bound is that of a rounding error of half a scale in each number, all in one direction."""
    made = np.random.default_rng(seed).normal(size=(2, size))
    one, other = (tuple(map(float, vector / np.linalg.norm(vector))) for vector in made)
    stored = features.unpack(features.pack(one, weights_sha256=WEIGHTS))
    moved = features.distance(stored.vector, other, metric=metric) - features.distance(one, other, metric=metric)

    assert stored.scale is not None
    assert abs(moved) <= stored.scale / 2 * math.sqrt(size)


def test_a_template_of_an_older_version_is_read_as_it_was_written() -> None:
    """Version 0.2.0 wrote a label and 64-bit numbers."""
    vector = tuple(number / 7 for number in range(-64, 64))
    old = bytes.fromhex(WEIGHTS) + struct.pack("<128d", *vector)

    assert features.unpack(old) == (WEIGHTS, vector, NumberForm.FLOAT64, None)


@pytest.mark.parametrize("size", [*range(1, 200), 512, 987, 4096, 8192])
def test_no_template_has_the_length_of_an_older_one(size: int) -> None:
    """Both older forms have a multiple of 8 bytes: 1024, or 32 and 8 for each number."""
    assert len(features.pack((0.5,) * size, weights_sha256=WEIGHTS)) % 8 == 7


def test_a_template_of_a_newer_version_is_refused() -> None:
    packed = bytearray(features.pack((0.5,) * 128, weights_sha256=WEIGHTS))
    packed[32] = 2

    with pytest.raises(ValueError, match="2"):
        features.unpack(bytes(packed))


def test_a_vector_without_a_label_is_of_the_default_engine() -> None:
    """Version 0.1.0 wrote vectors without a label."""
    vector = tuple(float(number) for number in range(128))
    card = load_card("face_recognition")

    found = features.unpack(struct.pack("<128d", *vector))

    assert found == (card.weights_sha256, vector, NumberForm.FLOAT64, None)
    assert (card.id, card.weights_sha256) == (features.UNLABELLED_ENGINE, features.UNLABELLED_WEIGHTS)


@given(vector=DIRECTED, times=st.integers(1, MAX_PHOTOS), metric=METRIC)
def test_the_mean_of_equal_vectors_is_that_vector(vector: tuple[float, ...], times: int, metric: Metric) -> None:
    mean = features.mean([vector] * times, metric=metric)

    assert abs(features.distance(mean, vector, metric=metric)) < 1e-12


@given(data=st.data(), size=st.integers(1, 16), count=st.integers(1, MAX_PHOTOS))
def test_the_mean_lies_between_the_vectors_in_any_order(data: st.DataObject, size: int, count: int) -> None:
    vectors = data.draw(st.lists(st.tuples(*[NUMBERS] * size), min_size=count, max_size=count))

    mean = features.mean(vectors, metric="l2")

    assert mean == features.mean(vectors[::-1], metric="l2")
    assert len(mean) == size
    for number, column in zip(mean, zip(*vectors, strict=True), strict=True):
        assert min(column) - 1e-15 <= number <= max(column) + 1e-15


@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=16))
def test_a_distance_is_symmetric_and_zero_to_itself(pairs: list[tuple[float, float]]) -> None:
    one, other = zip(*pairs, strict=True)

    assert features.distance(one, other, metric="l2") == features.distance(other, one, metric="l2") >= 0
    assert features.distance(one, one, metric="l2") == 0


@given(data=st.data(), size=st.integers(1, 16), scale=st.floats(0.1, 10))
def test_only_the_direction_counts_for_the_cosine(data: st.DataObject, size: int, scale: float) -> None:
    vectors = st.tuples(*[NUMBERS] * size).filter(lambda vector: math.hypot(*vector) > 0.1)
    one, other = data.draw(vectors), data.draw(vectors)
    longer = tuple(value * scale for value in one)
    cosine = sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)
    apart = features.distance(one, other, metric="cosine")

    assert math.isclose(apart, 1 - cosine, abs_tol=1e-12)
    assert apart == features.distance(other, one, metric="cosine")
    assert math.isclose(apart, features.distance(longer, other, metric="cosine"), abs_tol=1e-12)


@given(degrees=st.integers(0, 170), longer=st.floats(0.1, 10))
def test_the_cosine_mean_of_two_vectors_bisects_their_angle(degrees: int, longer: float) -> None:
    radians = math.radians(degrees)

    mean = features.mean([(longer, 0.0), (math.cos(radians), math.sin(radians))], metric="cosine")

    assert math.isclose(mean[0], math.cos(radians / 2), abs_tol=1e-9)
    assert math.isclose(mean[1], math.sin(radians / 2), abs_tol=1e-9)
