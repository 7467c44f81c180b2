"""Where the images came from: without that said, none is measured. The only maker of an `ImageStatement`."""

from app.evaluation.errors import EvaluationError
from app.faces.permit import ImageStatement, PeopleAgreed
from app.kit.text import REASON, readable

MOST_CHARACTERS = 2000
"""Of a statement; it stands at the top of the report."""


def state(origin: str, agreed: PeopleAgreed) -> ImageStatement:
    """Return what the operator said, for the workers and for the report.

    Raises:
        EvaluationError: it says nothing, or what cannot be shown.
    """
    said = " ".join(origin.split())
    if not said:
        raise EvaluationError("an empty statement is none: say where the images came from")
    if not readable(said):
        raise EvaluationError(f"{REASON} in the statement")
    if len(said) > MOST_CHARACTERS:
        raise EvaluationError(f"the statement is longer than {MOST_CHARACTERS} characters: say it shorter")
    return ImageStatement(origin=said, agreed=agreed)
