"""The record of processing activities (GDPR Art. 30(1))."""

from app.compliance.documents import common

TO_ADD = (
    "joint controllers and processors, for example the host of the machine, with their contracts (Art. 26, 28)",
    "the same for backups and for the key-encryption key: where they are, and who can reach them",
    "measures outside the program: building, staff, machine (Art. 32)",
)
"""Facts that the program cannot know."""


def record(source: common.Source) -> common.Document:
    """Return the record; `to_add` lists the facts that people have to add."""
    return {
        **common.head(source, title="Record of processing activities", law="GDPR Art. 30(1)"),
        "purposes": common.purposes(source),
        "data_subjects": list(common.DATA_SUBJECTS),
        "data": common.categories(),
        "recipients": common.recipients(source),
        "transfers": common.TRANSFERS,
        "time_limits": common.time_limits(source.settings),
        "measures": common.MEASURES,
        "to_add": list(TO_ADD),
    }
