"""Choose the face to measure among all that were found: at most one is measured (law 1).

A bystander in a probe is found, never measured: no landmark of it is judged, no crop made, no vector computed. In a
photo to enrol a second face is always refused, because a reference must be of one certain person.
"""

from collections.abc import Sequence
from math import dist
from typing import Final

from app.faces.engine import Face
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.quality import MIN_EYE_DISTANCE

MAX_BYSTANDER_WIDTH: Final = 0.5
"""Width of a bystander's face relative to the main one; from here on it is not clear which of them is meant."""


def choose_only_face(faces: Sequence[Face], use: PhotoUse, *, reduction: float) -> Face | Flaw:
    """Return the only face; in a probe the widest, if all others are bystanders.

    Args:
        faces: all faces in a picture, in any order.
        use: the use of the photo.
        reduction: pixels of the original photo per pixel of the picture.
    """
    if not faces:
        return Flaw.NO_FACE
    main, *others = sorted(faces, key=_width, reverse=True)
    if others and (use is PhotoUse.ENROLMENT or not all(_is_bystander(one, main, reduction) for one in others)):
        return Flaw.SEVERAL_FACES
    return main


def _is_bystander(face: Face, main: Face, reduction: float) -> bool:
    """Return whether *face* is too small to be measured itself, and under half as wide as the main one."""
    too_small = dist(*face.eyes) * reduction < MIN_EYE_DISTANCE
    return too_small and _width(face) < MAX_BYSTANDER_WIDTH * _width(main)


def _width(face: Face) -> int:
    _, right, _, left = face.box
    return right - left
