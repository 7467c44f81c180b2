"""Words of the export's page for tables, columns and values. A name without words is shown as it is."""

from typing import Any

from app.db.data_map import Form
from app.rights.explanations import PURPOSES

TITLES = {
    "photos": ("Photos that are kept", "Kept, sealed, because you agreed that Mien may keep them."),
    "templates": (
        "Templates",
        "A template is a list of numbers measured from your photos. A photo of you is compared with it.",
    ),
    "grants": ("Consents in force", "Each consent is explained in the notice that you read."),
    "comparisons": ("Uses of your face", "Each comparison of a photo with your template; oldest first."),
    "disputes": (
        "Comparisons that you say were not you",
        "Your face is not used for that relying party until you lift this. The operator can read your note.",
    ),
    "attempts": (
        "Failed comparisons that still count",
        "From the last 24 hours. After too many of them a relying party has to wait before it compares you again.",
    ),
    "consent_events": ("Decisions you made", "Each consent that you gave, refused or ended; oldest first."),
    "receipts": (
        "Receipts",
        "Signed, and valid without your account and without this service: keep the files in receipts/.",
    ),
    "entries": (
        "Entries of the transparency log",
        "Each act, as the transparency log has it. With its salt you can show that an entry is there.",
    ),
    "subjects": ("Your account", ""),
    "tokens": (
        "Ways to sign in",
        "Your access tokens and your recovery code. Only their digests are stored.",
    ),
    "access_counts": ("Days on which you asked", "Counted, never limited: ask as often as you like."),
    "deliveries": (
        "Messages to relying parties",
        "That your consent was given or has ended, and whether they acknowledged it; oldest first.",
    ),
    "outbox": ("Messages not delivered yet", "Sent again for some days, until the relying party acknowledges them."),
    "erasures": ("Erasures", ""),
}
"""Sections in their order: title and introduction. A table without a title comes last, under its own name."""
LABELS = {
    "at": "When",
    "event_time": "When",
    "in_sweep": "One of many that a relying party tried?",
    "state": "Your decision",
    "relying_party_id": "Relying party",
    "valid_until": "Until",
    "liveness": "Was a live person there?",
    "target_fmr": "Strangers taken for you",
    "engine_id": "Measured by",
    "not_renewable_by": "Engine that could not renew it",
    "name": "Your display name",
    "erasing": "Being erased",
    "on_day": "Day",
    "content": "File",
    "act": "Act",
    "event": "Message",
    "outcome": "Was it acknowledged?",
    "attempts": "Tries",
    "slug": "Reason",
    "kind": "Kind",
    "last_used_on": "Last used",
    "history_cuts": "Times that you shortened your history",
}
"""Columns, and fields of sealed records."""
WORDS: dict[Any, str] = {
    **{purpose: f"{purpose.capitalize()}: {words}".replace("_", " ") for purpose, words in PURPOSES.items()},
    True: "yes",
    False: "no",
    None: "none",
    "match": "match: taken for you",
    "no_match": "no match: not taken for you",
    "not_checked": "not checked",
    "given": "yes (given)",
    "refused": "no (refused)",
    "withdrawn": "no more (withdrawn)",
    "expired": "nothing: it expired",
    "access": "an access token",
    "recovery": "the recovery code",
    "template_renewed": "a new template was made from your kept photos, for another engine",
    "template_not_renewed": "your kept photos did not work for the new engine: enrol again",
    "template_ended": "a template ended because another engine replaced its own",
    "history_shortened": "you deleted uses of your face from your list",
    "token_unused": "an access token ended because it was not used",
    "ended": "no more (ended)",
    "pending": "not yet: it will be tried again",
    "acknowledged": "yes (acknowledged)",
    "failed": "no: it did not answer for days",
    "overtaken": "no: a later event replaced this one",
}
"""Values."""
FILES = {
    Form.JPEG: "the photo",
    Form.VECTOR: "the numbers",
    Form.RECEIPT: "the receipt",
}
"""Texts of the links to files."""
