"""What the OpenAPI document shows of matching."""

from app.enrolment.examples import ENGINE
from app.parties.examples import PARTY_ID
from app.transparency.examples import RECEIPT
from app.web.openapi import Example

VERIFIED: Example = {
    "comparison_id": "c1ed1c5b-8c4f-46b0-a4fe-b50d169c1311",
    "decision": "match",
    "target_fmr": 0.001,
    "liveness": "not_checked",
}
COMPARISON: Example = {
    **VERIFIED,
    "relying_party_id": PARTY_ID,
    "relying_party": "Door",
    "purpose": "verification",
    "at": "2026-11-24T07:58:31.402117Z",
    "disputed": False,
    "in_sweep": False,
}
DISPUTE: Example = {"note": "I was abroad that day."}
DISPUTED: Example = {
    "comparison_id": VERIFIED["comparison_id"],
    "disputed": True,
    "paused": True,
    "note": DISPUTE["note"],
    "receipt": RECEIPT,
}
CARD: Example = {
    "id": ENGINE,
    "engine": "face_recognition 1.3.0 (dlib ResNet v1, 128-d)",
    "dimensions": 128,
    "metric": "l2",
    "training_data": "About 3 million images of 7,485 people from FaceScrub, VGG Face and the web.",
    "depicted_people_agreed": False,
    "weights_sha256": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "in_force": {
        "target_fmr": 0.001,
        "target_group": "worst",
        "threshold": 0.52,
        "fmr": 0.000476,
        "fnmr": 0.09955,
        "fmr_by_group": {"FF": 0.000977, "MM": 0.000637, "FM": 0.000127},
        "fnmr_by_group": {"F": 0.1827, "M": 0.09604},
        "ci95_by_person": {"threshold": 0.543, "fmr": [0.00075, 0.0014], "fnmr": [0.0399, 0.093]},
    },
}
"""Shortened: without the files, the licences and the table."""
SHORTENED: Example = {"deleted": 12, "erased_from_disk": True}
