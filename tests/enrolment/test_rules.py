"""Properties of the same-person check, of decisions, and of vectors."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comparisons.policy import Decision
from app.faces import vectors as features
from app.faces.cards.card import load_card
from app.faces.engine import METRICS, Metric
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


@given(vector=VECTORS.filter(lambda vector: len(vector) != 124))
def test_a_vector_is_unpacked_as_it_was_packed(vector: tuple[float, ...]) -> None:
    packed = features.pack(vector, weights_sha256=WEIGHTS)

    assert features.unpack(packed) == (WEIGHTS, vector)
    assert len(packed) == 32 + 8 * len(vector)


def test_a_vector_without_a_label_is_of_the_default_engine() -> None:
    """Version 0.1.0 wrote vectors without a label."""
    vector = tuple(float(number) for number in range(128))
    card = load_card("face_recognition")

    assert features.unpack(struct.pack("<128d", *vector)) == (card.weights_sha256, vector)
    assert (card.id, card.weights_sha256) == (features.UNLABELLED_ENGINE, features.UNLABELLED_WEIGHTS)


def test_no_labelled_vector_has_the_length_of_an_unlabelled_one() -> None:
    with pytest.raises(ValueError, match="124"):
        features.pack((0.0,) * 124, weights_sha256=WEIGHTS)


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
