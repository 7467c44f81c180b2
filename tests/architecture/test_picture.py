"""The picture of the rooms shows the import contract that is in force."""

from tests.architecture import draw_rooms


def test_the_picture_shows_the_import_contract() -> None:
    drawn = draw_rooms.draw(draw_rooms.layers())

    assert draw_rooms.PICTURE.read_text("utf-8") == drawn, "run: python -m tests.architecture.draw_rooms"
