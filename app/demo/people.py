"""The photos of the people in the story. Every face is synthetic: none of these people exists."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo file."""

    name: str
    content: bytes

    @classmethod
    def load(cls, name: str) -> "PhotoFile":
        """Read one of the demo's own photos."""
        return cls(name, (files("app.demo") / "faces" / name).read_bytes())


@dataclass(frozen=True, slots=True)
class StoryPhotos:
    """The name of the photo for each moment of the story."""

    ada_enrols: tuple[str, ...] = ("P001-selfie.jpg", "P001-portrait.jpg")
    ada_at_the_door: str = "P001-happy.jpg"
    another_person: str = "P003-front.jpg"
    group: str = "group.jpg"
    ben_enrols: tuple[str, ...] = ("P004-front.jpg", "P004-happy.jpg")
    bens_look_alike: str = "P006-happy.jpg"


def not_an_image() -> PhotoFile:
    """Return bytes that no decoder accepts: an answer other than `unsupported-image` came before any decoding."""
    return PhotoFile("not-an-image.jpg", b"These bytes are no image. " * 8)
