"""What `mien evaluate` is refused with."""


class EvaluationError(Exception):
    """It cannot be done; the text says why, and what to do."""


class EngineLostError(EvaluationError):
    """The engine cannot be used, or no longer: what was measured until then is kept."""
