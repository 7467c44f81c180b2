"""Examples of enrolments in the OpenAPI document."""

from app.consent.examples import CONSENT_ID
from app.kit.errors import Problem
from app.web.openapi import Example

ENROLMENT_ID = "6ec49853-4e5b-41a9-b3f3-a8db0838af9e"
ENGINE = "face_recognition"
PHOTO: Example = {
    "index": 0,
    "quality": {
        "brightness": 187.3,
        "glare": 0.0,
        "eye_distance": 96.4,
        "sharpness": 0.21,
        "yaw": 0.04,
        "foreshortening": 0.78,
        "eye_detail": 0.41,
        "upright": 11.2,
        "eyes_visible": 5.4,
        "mouth_visible": 7.9,
    },
}
ENROLLED: Example = {
    "enrolment_id": ENROLMENT_ID,
    "engine": ENGINE,
    "photos": [PHOTO],
    "more_photos": {
        "photos": 1,
        "asked_for": 2,
        "fnmr": 0.085,
        "more_photos": 2,
        "fnmr_with_more": 0.025,
        "at_fmr": 0.001,
        "counted_over": "pairs",
        "trial": "LFW, people with enough images",
        "in_words": "You enrolled 1 photo. This service asks for 2. …",
    },
}
ENROLMENT: Example = {
    "enrolment_id": ENROLMENT_ID,
    "enrolled_on": "2026-11-23",
    "templates": [
        {
            "template_id": "925fdd77-d1cd-4a29-87f2-9b1073522839",
            "consent_id": CONSENT_ID,
            "engine": ENGINE,
            "weights_sha256": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            "labelled_falsely_as": None,
            "engine_in_force": True,
            "ends_on": None,
            "to_do": None,
        }
    ],
    "photo_ids": ["c679e5a6-4f85-4429-bae7-f494f6f79d6f"],
}
DELETION: Example = {"enrolment_id": ENROLMENT_ID, "erased_from_disk": True}


def first_photo(kind: type[Problem]) -> Example:
    """Return the members of a problem with the first photo."""
    return {"photos": [{"index": 0, "slug": kind.slug, "detail": kind.detail}]}
