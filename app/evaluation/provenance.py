"""The operator's statement of where the images came from. Without it no image is measured."""

from app.evaluation.errors import EvaluationError
from app.faces.permit import ImageStatement, PeopleAgreed
from app.kit.text import REASON, is_blank, readable

MAX_CHARACTERS = 2000
"""Length limit; the statement is the first line of the report."""


def state(origin: str, agreed: PeopleAgreed) -> ImageStatement:
    """Return the operator's statement for the workers and the report.

    Raises:
        EvaluationError: the statement is empty, too long or not printable.
    """
    statement = " ".join(origin.split())
    if is_blank(statement):
        raise EvaluationError("the statement is empty: say where the images came from")
    if not readable(statement):
        raise EvaluationError(f"{REASON} in the statement")
    if len(statement) > MAX_CHARACTERS:
        raise EvaluationError(f"the statement is longer than {MAX_CHARACTERS} characters: say it shorter")
    return ImageStatement(origin=statement, agreed=agreed)
