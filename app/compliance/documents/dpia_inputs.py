"""Facts for a data protection impact assessment (GDPR Art. 35(7)); people make the assessment."""

import tomllib
from pathlib import Path

from app.compliance.documents import common
from app.compliance.live_requirements import service as live_requirements
from app.faces.cards import operating_point
from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint
from app.faces.workers.sandbox_probe import find_missing_protections
from app.rights import explanations

TARGET_SCOPES = {
    TargetGroup.ALL: "all pairs of different people together",
    TargetGroup.WORST: "every labelled group",
}
OPEN = "to be answered by people"
_TEXTS = tomllib.loads(Path(__file__).with_name("dpia_questions.toml").read_text("utf-8"))


def inputs(source: common.Source) -> common.Document:
    """Return the facts for the four parts of Art. 35(7), and the questions that stay open."""
    live = live_requirements.check(
        source.vault,
        settings=source.settings,
        card=source.card,
        facts=source.facts,
        sandbox=find_missing_protections(),
    )
    return {
        **common.head(source, title="Inputs of a data protection impact assessment", law="GDPR Art. 35(7)"),
        "processing": {
            "in_words": explanations.LOGIC,
            "source": explanations.SOURCE,
            "relying_parties_learn": explanations.LEARNS,
            "transfers": common.TRANSFERS,
        },
        "purposes": common.purposes(source),
        "data_subjects": list(common.DATA_SUBJECTS),
        "data": common.categories(),
        "recipients": common.recipients(source),
        "time_limits": common.time_limits(source.settings),
        "necessity": [{"question": question, "answer": OPEN} for question in _TEXTS["questions"]],
        "risks": [{"risk": risk, "likelihood": OPEN, "severity": OPEN} for risk in _TEXTS["risks"]],
        "measures": common.MEASURES,
        "error_rates": _rates(source.card, operating_point.choose_operating_point(source.card, source.settings)),
        "missing_for_live": [f"{one.name}: {one.found}; {one.do}" for one in live.missing],
        "warnings": list(live.warnings),
    }


def _rates(card: Card, in_force: OperatingPoint) -> common.Document:
    """Return the error rates at the threshold in force, by group, with their trials."""
    point, interval, by_origin = in_force.point, in_force.interval, in_force.by_origin
    people = in_force.over_people
    return {
        "engine": card.id,
        "training_data": card.training_data,
        "depicted_people_agreed": card.depicted_people_agreed,
        "trial": card.calibration.trial["name"],
        "target_fmr": in_force.target_fmr,
        "target_kept_in": TARGET_SCOPES[in_force.target_group],
        "threshold": point.threshold,
        "false_match_rate": point.fmr,
        "false_non_match_rate": point.fnmr,
        "intervals_95_at": interval.threshold,
        "false_match_rate_95": list(interval.fmr),
        "false_non_match_rate_95": list(interval.fnmr),
        "false_match_rate_by_group": dict(point.fmr_by_group),
        "false_non_match_rate_by_group": dict(point.fnmr_by_group),
        "counted_over": "pairs",
        "false_non_match_rate_over_people": None if people is None else people.fnmr,
        "false_non_match_rate_over_people_at": None if people is None else people.threshold,
        "false_non_match_rate_over_people_by_group": {} if people is None else dict(people.fnmr_by_group),
        "second_trial": by_origin.trial if by_origin else "none",
        "second_trial_threshold": by_origin.threshold if by_origin else None,
        "second_trial_false_match_rate": dict(by_origin.rates) if by_origin else {},
        "liveness": "not checked: a good picture of a person may pass for them",
    }
