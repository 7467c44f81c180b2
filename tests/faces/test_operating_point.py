"""A threshold keeps a false match rate in a named trial: over all pairs, or in every labelled group."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card, load_card, parse_card, shipped_cards
from app.faces.cards.operating_point import choose_operating_point, find_operating_point
from app.settings import Settings
from tests.support.toy_engine import toy_card

DLIB, SFACE = load_card("face_recognition"), load_card("sface")
CARDS = st.sampled_from(shipped_cards())


def without_groups(card: Card) -> Card:
    document = card.as_document()
    for row in document["calibration"]["table"]:
        row["fmr_by_group"], row["fnmr_by_group"] = {}, {}
    return parse_card(document)


@pytest.mark.parametrize(
    ("card", "target", "group", "threshold", "fmr", "fnmr"),
    [
        (DLIB, 1e-3, TargetGroup.ALL, 0.54, 0.000906, 0.05751),
        (DLIB, 1e-3, TargetGroup.WORST, 0.52, 0.000476, 0.09955),
        (SFACE, 1e-4, TargetGroup.ALL, 0.575, 9.77e-5, 0.006505),
        (SFACE, 1e-4, TargetGroup.WORST, 0.54, 2.8e-5, 0.01139),
    ],
)
def test_a_target_selects_a_threshold_from_the_card(
    card: Card, target: float, group: TargetGroup, threshold: float, fmr: float, fnmr: float
) -> None:
    found = find_operating_point(card, target, group)

    assert (found.threshold, found.point.fmr, found.point.fnmr) == (threshold, fmr, fnmr)


@given(card=CARDS, target=st.floats(min_value=2.6e-6, max_value=0.99), group=st.sampled_from(TargetGroup))
def test_a_threshold_never_exceeds_its_rate_and_is_the_largest_that_does_not(
    card: Card, target: float, group: TargetGroup
) -> None:
    try:
        found = find_operating_point(card, target, group)
    except ValueError:
        assert all(point.fmr_of(group) > target for point in card.calibration.points)
        return
    larger = [other for other in card.calibration.points if other.threshold > found.threshold]
    rates = [found.point.fmr, *found.point.fmr_by_group.values()]

    assert (max(rates) if group is TargetGroup.WORST else found.point.fmr) <= target
    assert all(max(other.fmr, *other.fmr_by_group.values()) > target for other in larger) or group is TargetGroup.ALL
    assert all(other.fmr > target for other in larger) or group is TargetGroup.WORST


@pytest.mark.parametrize("card", shipped_cards(), ids=lambda card: card.id)
@pytest.mark.parametrize("target", [0.0, -1.0, 1.0, 2.0, 1e-6, 1e-9, float("nan")])
def test_a_rate_that_the_trial_does_not_support_is_refused(card: Card, target: float) -> None:
    with pytest.raises(ValueError, match="LFW"):
        find_operating_point(card, target)


def test_the_lowest_supported_rate_is_the_upper_end_of_an_interval_over_people() -> None:
    """SFace had 1e-6 over 87 million pairs, but of so few people that the rate may be 2.5e-6."""
    lowest = SFACE.calibration.points[0]

    assert lowest.fmr < 1e-6
    assert SFACE.calibration.lowest_fmr == 2.5e-6
    assert find_operating_point(SFACE, 2.5e-6, TargetGroup.ALL).point.fmr <= 2.5e-6
    with pytest.raises(ValueError, match=r"2\.5e-06"):
        find_operating_point(SFACE, 2.4e-6, TargetGroup.ALL)


def test_a_trial_without_an_interval_supports_no_rate() -> None:
    document = copy.deepcopy(SFACE.as_document())
    document["calibration"]["ci95_by_person"] = []

    with pytest.raises(ValueError, match="supports no"):
        find_operating_point(parse_card(document))


def test_the_settings_override_the_default_of_the_card() -> None:
    assert [find_operating_point(card).target_fmr for card in (DLIB, SFACE, toy_card())] == [1e-3, 1e-4, 1e-3]
    assert find_operating_point(SFACE).target_group is TargetGroup.WORST
    assert choose_operating_point(SFACE, Settings()) == find_operating_point(SFACE)
    assert choose_operating_point(SFACE, Settings(target_fmr=1e-3, target_group="all")).threshold == 0.635
    assert find_operating_point(toy_card()).threshold == 0.54


def test_without_labelled_groups_only_a_target_over_all_pairs_is_possible() -> None:
    card = without_groups(SFACE)

    assert find_operating_point(card).target_group is TargetGroup.ALL
    with pytest.raises(ValueError, match="MIEN_TARGET_GROUP=all"):
        find_operating_point(card, target_group=TargetGroup.WORST)


def test_the_operating_point_lists_the_groups_in_which_the_target_is_missed() -> None:
    document = find_operating_point(DLIB).as_document()

    assert document["worst_group"]["group"] == "Asian-F"
    assert document["missed_by_origin"]["Asian-F"] == 0.18
    assert "White-M" in document["missed_by_origin"]
    assert all(rate > 1e-3 for rate in document["missed_by_origin"].values())
    assert document["target_group"] == "worst"
