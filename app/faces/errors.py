"""What the pool of engine workers refuses with."""

from typing import ClassVar

from app.kit.errors import Problem


class BusyError(Problem):
    """No worker can take or finish the job now."""

    status = 503
    slug = "busy"
    title = "Busy"
    detail = "The face engine cannot take this photo now. Nothing was kept. Try again in a few seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}
