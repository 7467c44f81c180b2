"""Flaws of a photo and the problem that answers each: slug, title, status and text, declared once."""

from enum import StrEnum
from typing import Final, Self

from app.kit.errors import Problem


class PhotoRefusedError(Problem):
    """A photo cannot be used. Each subclass is a public kind."""

    status = 422

    @classmethod
    def from_flaw(cls, flaw: "Flaw", **members: object) -> "PhotoRefusedError":
        """Return the problem for *flaw*, with its own text."""
        return flaw.problem(flaw.detail, **members)


class UnsupportedImageError(PhotoRefusedError):
    """Not JPEG, PNG or WebP by its first bytes."""

    status = 415
    slug = "unsupported-image"
    title = "Unsupported image"
    detail = "This file is not a JPEG, PNG or WebP picture. Save the photo in one of these formats and send it again."


class UndecodableImageError(PhotoRefusedError):
    """Damaged, built to exhaust memory, or with too many pixels."""

    slug = "undecodable-image"
    title = "Undecodable image"
    detail = "This picture is damaged or incomplete. Save it again or take a new photo, then send that."


class NoFaceError(PhotoRefusedError):
    """No face was found."""

    slug = "no-face"
    title = "No face"
    detail = (
        "No face was found. Hold the camera upright, look straight into it and come closer. If your face is small in "
        "the picture, cut the picture to your face."
    )


class SeveralFacesError(PhotoRefusedError):
    """More than one face was found; none was measured."""

    slug = "several-faces"
    title = "Several faces"
    detail = "This photo shows more than one face. Take a photo of yourself alone, with no people behind you."


class PoorQualityError(PhotoRefusedError):
    """Too dark, bright, small, blurred, turned away or covered."""

    slug = "poor-quality"
    title = "Poor quality"
    detail = "Your face is too dark. Move to a place with light in front of you and take the photo again."


PHOTO_REFUSALS = tuple(PhotoRefusedError.__subclasses__())


_IPHONE: Final = (
    "On an iPhone, choose Settings > Camera > Formats > Most Compatible and take the photo again. Or save the picture "
    "as JPEG, and send that."
)


class Flaw(StrEnum):
    """The reason why a photo cannot be used: an outcome, not an error. Its value is the code in a worker's reply."""

    problem: type[PhotoRefusedError]
    detail: str
    """Instruction to the person in the photo; the problem's own text unless the flaw has another."""

    def __new__(cls, code: str, problem: type[PhotoRefusedError] = PoorQualityError, detail: str = "") -> Self:
        """Make a member with its problem and text."""
        flaw = str.__new__(cls, code)
        flaw._value_ = code
        flaw.problem = problem
        flaw.detail = detail or problem.detail
        return flaw

    UNSUPPORTED = "unsupported", UnsupportedImageError
    HEIC = "heic", UnsupportedImageError, f"This is a HEIC picture, the format of an iPhone's camera. {_IPHONE}"
    AVIF = "avif", UnsupportedImageError, "This is an AVIF picture. Save it as JPEG, PNG or WebP, and send that."
    JPEG_XL = "jpeg_xl", UnsupportedImageError, f"This is a JPEG XL picture, which an iPhone can take too. {_IPHONE}"
    BROKEN = "broken", UndecodableImageError
    TOO_MANY_PIXELS = (
        "too_many_pixels",
        UndecodableImageError,
        "This picture has too many pixels. Make it smaller and send it again.",
    )
    NO_FACE = "no_face", NoFaceError
    SEVERAL_FACES = "several_faces", SeveralFacesError
    TOO_DARK = "too_dark", PoorQualityError
    TOO_BRIGHT = (
        "too_bright",
        PoorQualityError,
        "Your face is too bright. Move out of direct light or turn the flash off, and take the photo again.",
    )
    TOO_SMALL = (
        "too_small",
        PoorQualityError,
        "Your face is too small in this photo. Come closer to the camera and take the photo again.",
    )
    BLURRED = "blurred", PoorQualityError, "Your face is blurred. Wipe the lens, hold still and take the photo again."
    TURNED_AWAY = (
        "turned_away",
        PoorQualityError,
        "Your face is turned away. Look straight into the camera and take the photo again.",
    )
    COVERED = (
        "covered",
        PoorQualityError,
        (
            "Part of your face is covered, or your eyes are closed. Take off a mask, a scarf and dark or mirrored "
            "glasses, keep your hands and hair off your face, and take the photo again."
        ),
    )
    NOT_UPRIGHT = (
        "not_upright",
        PoorQualityError,
        (
            "Your face is not upright in this photo, or its colours are inverted. Turn the photo upright, save it as "
            "an ordinary picture and send it again. Otherwise take a new one, of your whole face."
        ),
    )

    @property
    def slug(self) -> str:
        """Public, permanent name of the problem."""
        return self.problem.slug
