"""What the pool of engine workers refuses with."""

from app.kit.errors import BusyError

__all__ = ["BusyError"]
