"""The rounding of templates is compared with exact numbers; a network that it harms is named in the warnings."""

import numpy as np
import pytest

from app.evaluation.scores import ComparisonSource
from app.evaluation.stored_numbers import compare_stored_numbers, find_costly_threshold

PEOPLE, IMAGES, DIMENSIONS = 12, 4, 16


def trial(outlier: float) -> ComparisonSource:
    """Return people around centres of their own; the first number of each vector is *outlier*."""
    random = np.random.default_rng(1)
    person = np.repeat(np.arange(PEOPLE), IMAGES)
    centres = random.normal(size=(PEOPLE, DIMENSIONS))[person]
    vectors = centres + 0.4 * random.normal(size=(len(person), DIMENSIONS))
    vectors[:, 0] = outlier
    return ComparisonSource(vectors, person, "l2")


@pytest.mark.parametrize(("outlier", "costly"), [(1.0, None), (3.0, None), (1000.0, 3.5)])
def test_a_number_far_above_the_others_makes_the_rounding_costly(outlier: float, costly: float | None) -> None:
    document = compare_stored_numbers(trial(outlier), [3.5])

    assert find_costly_threshold(document) == costly
    (at,) = document["at"]
    assert (at["changed_decisions"] >= 3) is (costly is not None)
