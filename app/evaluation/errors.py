"""Errors of `mien evaluate`."""

from app.kit.errors import OperatorError


class EvaluationError(OperatorError):
    """The evaluation cannot run; the text gives the reason and the remedy."""


class EngineLostError(EvaluationError):
    """The engine is unusable or failed. The images measured so far stay in the cache."""
