"""What goes into a data protection impact assessment (GDPR Art. 35(7)): not the assessment, which people make."""

from dataclasses import asdict

from app.compliance.documents import common as described
from app.compliance.documents.measures import MEASURES
from app.compliance.live_requirements import service as lawful
from app.faces.cards import operating_point
from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint
from app.rights import access


def inputs(asked: described.Source) -> described.Document:
    """Return what the program knows of the four parts of Art. 35(7), and the questions that it leaves open."""
    found = lawful.check(asked.vault, settings=asked.settings, card=asked.card)
    return {
        **described.head(asked, title="Inputs of a data protection impact assessment", law="GDPR Art. 35(7)"),
        "processing": {
            "in_words": access.LOGIC,
            "source": access.SOURCE,
            "relying_parties_learn": access.LEARNS,
            "transfers": described.TRANSFERS,
        },
        "purposes": described.purposes(asked),
        "data_subjects": list(described.SUBJECTS),
        "data": described.categories(),
        "recipients": described.recipients(asked),
        "time_limits": described.time_limits(asked.settings),
        "necessity": [{"question": question, "answer": OPEN} for question in QUESTIONS],
        "risks": [{"risk": risk, "likelihood": OPEN, "severity": OPEN} for risk in RISKS],
        "measures": [asdict(one) for one in MEASURES],
        "error_rates": _rates(asked.card, operating_point.chosen(asked.card, asked.settings)),
        "missing_for_live": [f"{one.name}: {one.found}; {one.do}" for one in found.missing],
        "warnings": list(found.warnings),
    }


def _rates(card: Card, in_force: OperatingPoint) -> described.Document:
    """Return the rates that were measured at the threshold in force, by group, and on which trials."""
    point, interval, by_origin = in_force.point, in_force.interval, in_force.by_origin
    return {
        "engine": card.id,
        "training_data": card.training_data,
        "depicted_people_agreed": card.depicted_people_agreed,
        "trial": card.calibration.trial["name"],
        "target_fmr": in_force.target_fmr,
        "target_kept_in": _KEPT_IN[in_force.target_group],
        "threshold": point.threshold,
        "false_match_rate": point.fmr,
        "false_non_match_rate": point.fnmr,
        "intervals_95_at": interval.threshold,
        "false_match_rate_95": list(interval.fmr),
        "false_non_match_rate_95": list(interval.fnmr),
        "false_match_rate_by_group": dict(point.fmr_by_group),
        "false_non_match_rate_by_group": dict(point.fnmr_by_group),
        "second_trial": by_origin.trial if by_origin else "none",
        "second_trial_threshold": by_origin.threshold if by_origin else None,
        "second_trial_false_match_rate": dict(by_origin.rates) if by_origin else {},
        "liveness": "not checked: a good picture of a person may pass for them",
    }


_KEPT_IN = {TargetGroup.ALL: "all pairs of different people together", TargetGroup.WORST: "every labelled group"}
OPEN = "to be answered by people"
QUESTIONS = (
    "What is the aim, in one sentence, and who decided on it?",
    "Could the aim be reached without faces: with a card, a code, a person at the desk? Why is that not enough?",
    "Is each consent free? What happens to somebody who says no, or stops: cost, delay, standing (Art. 7(4))?",
    "Is there a relation, as between employer and employee, in which a no is hard to say?",
    "Could the template be in the hands of the person (a card, a phone) instead of here?",
    "Is one-to-one comparison enough? Then leave identification out.",
    "Is the retention chosen here the shortest that serves the aim?",
    "Whom do the errors below meet, how often each day, and what happens to them then?",
    "Were the people concerned, or those who speak for them, asked (Art. 35(9))?",
    "What did the data protection officer advise (Art. 35(2))? Is the authority to be consulted first (Art. 36)?",
)
RISKS = (
    "a stranger is taken for the person, more often in some groups than in others",
    "the person is not recognised, again and again, and is treated as suspect",
    "somebody passes with a picture of the person",
    "templates are stolen and turned back into likenesses; a face cannot be changed",
    "consent is given because a no would cost something",
    "uses grow beyond what people agreed to",
    "whoever runs the machine looks into its memory or changes the program",
)
