"""A photo that will not do, as a problem."""

from app.faces.flaws import Flaw, FlawCode
from app.kit.errors import Problem


class PhotoRefusedError(Problem):
    """One kind of flaw; `of` picks the subclass."""

    @classmethod
    def of(cls, flaw: Flaw, **members: object) -> "PhotoRefusedError":
        """Return the problem that *flaw* is."""
        return _KINDS[flaw.slug](flaw.detail, **members)


class UnsupportedImageError(PhotoRefusedError):
    """Not JPEG, PNG or WebP by content."""

    status = 415
    slug = "unsupported-image"
    title = "Unsupported image"
    detail = Flaw(FlawCode.UNSUPPORTED).detail


class UndecodableImageError(PhotoRefusedError):
    """Broken, a bomb, or too many pixels."""

    status = 422
    slug = "undecodable-image"
    title = "Undecodable image"
    detail = Flaw(FlawCode.BROKEN).detail


class NoFaceError(PhotoRefusedError):
    """No face was found."""

    status = 422
    slug = "no-face"
    title = "No face"
    detail = Flaw(FlawCode.NO_FACE).detail


class SeveralFacesError(PhotoRefusedError):
    """More than one face was found; none was measured."""

    status = 422
    slug = "several-faces"
    title = "Several faces"
    detail = Flaw(FlawCode.SEVERAL_FACES).detail


class PoorQualityError(PhotoRefusedError):
    """Too dark, bright, small, blurred, turned away or covered."""

    status = 422
    slug = "poor-quality"
    title = "Poor quality"
    detail = Flaw(FlawCode.TOO_DARK).detail


PHOTO_REFUSALS: tuple[type[PhotoRefusedError], ...] = (
    UnsupportedImageError,
    UndecodableImageError,
    NoFaceError,
    SeveralFacesError,
    PoorQualityError,
)
_KINDS = {kind.slug: kind for kind in PHOTO_REFUSALS}
