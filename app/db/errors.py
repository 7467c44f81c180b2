"""Errors of every store that the operator must act on."""

from app.kit.errors import OperatorError


class AlteredStoreError(OperatorError):
    """Another program changed a store; the text tells the operator how to continue."""


class ChangedSchemaError(AlteredStoreError):
    """A database has another schema than this version made; the text names the object."""
