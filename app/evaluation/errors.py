"""Errors of `mien evaluate`."""


class EvaluationError(Exception):
    """The evaluation cannot run; the text gives the reason and the remedy."""


class EngineLostError(EvaluationError):
    """The engine is unusable or failed. The images measured so far stay in the cache."""
