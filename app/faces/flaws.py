"""What can be wrong with a photo, and what the person can do about it."""

from dataclasses import dataclass
from enum import StrEnum


class FlawCode(StrEnum):
    """One thing that is wrong with a photo."""

    UNSUPPORTED = "unsupported"
    """Not JPEG, PNG or WebP by its first bytes."""
    BROKEN = "broken"
    """Truncated, damaged, or built to exhaust memory."""
    TOO_MANY_PIXELS = "too_many_pixels"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    TURNED_AWAY = "turned_away"
    COVERED = "covered"


@dataclass(frozen=True, slots=True)
class Flaw:
    """The answer for a photo that gave no vector: an outcome, not an error."""

    code: FlawCode

    @property
    def slug(self) -> str:
        """The public, permanent name of the problem; every fault of quality is ``poor-quality``."""
        return _SLUGS.get(self.code, "poor-quality")

    @property
    def status(self) -> int:
        """The HTTP status that the problem has when it stands alone."""
        return 415 if self.code is FlawCode.UNSUPPORTED else 422

    @property
    def detail(self) -> str:
        """What to do about it, written for the person in the photo."""
        return _DETAILS[self.code]


_SLUGS = {
    FlawCode.UNSUPPORTED: "unsupported-image",
    FlawCode.BROKEN: "undecodable-image",
    FlawCode.TOO_MANY_PIXELS: "undecodable-image",
    FlawCode.NO_FACE: "no-face",
    FlawCode.SEVERAL_FACES: "several-faces",
}

_DETAILS = {
    FlawCode.UNSUPPORTED: "This is not a JPEG, PNG or WebP picture. Save the photo as one of these and send it again.",
    FlawCode.BROKEN: "This picture is damaged or incomplete. Save or take the photo again and send the new one.",
    FlawCode.TOO_MANY_PIXELS: "This picture has too many pixels. Make it smaller, then send it again.",
    FlawCode.NO_FACE: "No face was found. Hold the camera upright, look straight into it and come closer.",
    FlawCode.SEVERAL_FACES: "There is more than one face in this photo. Take one of you alone, with nobody behind you.",
    FlawCode.TOO_DARK: "Your face is too dark. Move into better light, in front of you, and take the photo again.",
    FlawCode.TOO_BRIGHT: "Your face is too bright. Move out of direct light or switch the flash off, and try again.",
    FlawCode.TOO_SMALL: "Your face is too small in this photo. Move closer to the camera and take the photo again.",
    FlawCode.BLURRED: "Your face is blurred. Wipe the lens, hold still and take the photo again.",
    FlawCode.TURNED_AWAY: "Your face is turned away. Look straight into the camera and take the photo again.",
    FlawCode.COVERED: "Part of your face is covered. Take off dark glasses or a mask and take the photo again.",
}
