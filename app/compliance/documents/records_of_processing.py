"""The record of processing activities (GDPR Art. 30(1))."""

from dataclasses import asdict

from app.compliance.documents import common as described
from app.compliance.documents.measures import MEASURES


def record(asked: described.Source) -> described.Document:
    """Return the record; what it leaves to people is under `to_add`."""
    return {
        **described.head(asked, title="Record of processing activities", law="GDPR Art. 30(1)"),
        "purposes": described.purposes(asked),
        "data_subjects": list(described.SUBJECTS),
        "data": described.categories(),
        "recipients": described.recipients(asked),
        "transfers": described.TRANSFERS,
        "time_limits": described.time_limits(asked.settings),
        "measures": [asdict(one) for one in MEASURES],
        "to_add": list(TO_ADD),
    }


TO_ADD = (
    "joint controllers and processors, such as who runs the machine, with the contracts (Art. 26, 28)",
    "the same for where backups and the key-encryption key are kept, and who can reach them",
    "measures that are no part of the program: the building, the staff, the machine (Art. 32)",
)
"""What the program cannot know."""
