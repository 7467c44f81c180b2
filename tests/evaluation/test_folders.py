"""The images of each person, the ignored files, and the refused folders and lists."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.evaluation.errors import EvaluationError
from app.evaluation.groups import read_groups
from app.evaluation.image_folder import list_folder, read
from app.evaluation.pairs import read_pairs
from tests.evaluation.conftest import Command, make_folder, toy_people
from tests.support.toy_faces import crashing_photo, toy_photo

Evaluated = Callable[..., dict[str, Any]]


def names(root: Path, **more: Any) -> dict[str, list[str]]:
    """Return the people of a folder, and the files of each."""
    folder = list_folder(root, most_images=more.get("most_images", 100))
    return {
        person: [sample.path.name for sample in folder.samples if sample.person == place]
        for place, person in enumerate(folder.people)
    }


def test_each_folder_is_a_person_with_images_in_order(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/10.png", "Ä b/é 1.webp", "a/x/1.jpeg", "a/0.jpg", "c/notes.txt", "d/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "loose.jpg").write_bytes(b"")
    (tmp_path / "groups.csv").write_bytes(b"")
    (tmp_path / ".git").mkdir()

    folder = list_folder(tmp_path, most_images=100)

    assert names(tmp_path) == {"a": ["0.jpg", "1.jpeg"], "b": ["10.png", "2.JPG"], "Ä b": ["é 1.webp"]}
    assert +folder.left_out == {
        "files outside of a person's folder": 1,
        "files that are no image by their name": 1,
        "folders without an image": 2,
    }


def test_no_link_is_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "trial", tmp_path / "outside"
    make_folder(outside, {"secret": [b"x", b"y"]})
    make_folder(inside, {"a": [b"a"], "b": [b"b"]})
    (inside / "link").symlink_to(outside / "secret")
    (inside / "a" / "1.png").symlink_to(outside / "secret" / "0.png")
    (inside / "b" / "deeper").symlink_to(outside)

    folder = list_folder(inside, most_images=100)

    assert names(inside) == {"a": ["0.png"], "b": ["0.png"]}
    assert +folder.left_out == {"symbolic links": 3}
    with pytest.raises(OSError, match="symbolic"):
        read(inside / "a" / "1.png", most_bytes=10)


def test_only_regular_files_up_to_the_limit_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "file.jpg").write_bytes(b"12345")

    assert read(tmp_path / "file.jpg", most_bytes=5) == b"12345"
    assert read(tmp_path / "file.jpg", most_bytes=4) is None
    for other in ("pipe.jpg", "."):
        with pytest.raises(OSError, match=r"no regular file|directory"):
            read(tmp_path / other, most_bytes=5)


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ({}, "images of 0 people; a false match takes two"),
        ({"a": [b"1", b"2"]}, "images of 1 person; a false match takes two"),
        ({"a": [], "b": [b"1"]}, "images of 1 person"),
        ({"a": [b"1"] * 60, "b": [b"1"] * 60}, "more than 100 images; take fewer, or allow more with --most-images"),
    ],
)
def test_a_folder_without_a_trial_is_refused(tmp_path: Path, people: dict[str, list[bytes]], reason: str) -> None:
    root = make_folder(tmp_path, people)

    with pytest.raises(EvaluationError, match=reason):
        list_folder(root, most_images=100)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(EvaluationError, match="is no folder"):
        list_folder(tmp_path / "file", most_images=1)
    with pytest.raises(EvaluationError, match="there is no"):
        list_folder(tmp_path / "nothing", most_images=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name,group\na,F", "begins with 'name,group'; it has to begin with person,group"),
        (b"person,group\nz,F", "line 2: there is no folder 'z'"),
        (b"person,group\na,F\n\na,M", "line 4: 'a' has a group already"),
        (b"person,group\na", "line 2: 2 fields are expected"),
        (b"person,group\na,F/M", "line 2: 'F/M' is no label"),
        (b"person,group\na,", "line 2: '' is no label"),
        (b"person,group\na,<b>", "is no label"),
        (b'person,group\na,"F\nM"', "line 3: 'F.*M' is no label"),
        (b"person,group\na,\xff", "is not UTF-8"),
        (b'person,group\n"a,F', "is no CSV file"),
    ],
)
def test_invalid_groups_are_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    (tmp_path / "groups.csv").write_bytes(text)

    with pytest.raises(EvaluationError, match=reason):
        read_groups(tmp_path / "groups.csv", ("a", "b"), partial=False)


def test_groups_are_as_labelled_and_a_missing_person_has_none(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_bytes(
        '\ufeffperson,group\r\nb b, older women \r\n\r\nä,men\r\n"c\nd",men\r\ne\u2028f,men'.encode()
    )

    groups = read_groups(tmp_path / "groups.csv", ("a", "b b", "ä", "c\nd", "e\u2028f"), partial=False)

    assert groups.labels == ("men", "older women")
    assert groups.of_person.tolist() == [-1, 1, 0, 0, 0]
    assert [groups.key(pair) for pair in groups.pairs()] == ["men/men", "men/older women", "older women/older women"]
    assert groups.lookup()[[0, 0, 1, 1, -1, 0], [0, 1, 0, 1, 0, -1]].tolist() == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../outside/secret/0.png,a/0.png,no", "line 2: '../outside/secret/0.png' is not a path of an image below"),
        ("/etc/passwd,a/0.png,no", "line 2: '/etc/passwd' is not a path of an image below"),
        ("a/link.png,a/0.png,no", "line 2: 'a/link.png' leads through a symbolic link"),
        ("link/0.png,a/0.png,no", "line 2: 'link/0.png' leads through a symbolic link"),
        ("a/9.png,a/0.png,no", "line 2: there is no file 'a/9.png'"),
        ("a,a/0.png,no", "line 2: there is no file 'a'"),
        (",a/0.png,no", "line 2: '' is not a path"),
        ("a/0.png,b/0.png,maybe", "line 2: 'maybe' must be yes or no"),
        ("a/0.png,a/./0.png,yes", "line 2: an image is compared with itself"),
        ("a/0.png,b/0.png,no\nb/0.png,a/0.png,yes", "line 3: an earlier line says the opposite about these two images"),
        ("a/0.png,b/0.png", "line 2: 3 fields are expected"),
        ("a/0.png,a/1.png,yes\nb/0.png,b/1.png,yes", "line 3: more than 3 images"),
    ],
)
def test_invalid_pairs_are_refused(tmp_path: Path, line: str, reason: str) -> None:
    root = make_folder(tmp_path / "trial", {"a": [b"1", b"2"], "b": [b"3", b"4"]})
    make_folder(tmp_path / "outside", {"secret": [b"x"]})
    (root / "a" / "link.png").symlink_to(tmp_path / "outside" / "secret" / "0.png")
    (root / "link").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "pairs.csv").write_text(f"reference,probe,same\n{line}\n", "utf-8")

    with pytest.raises(EvaluationError, match=reason):
        read_pairs(tmp_path / "pairs.csv", root, most_images=3)


def test_folders_are_people_only_if_the_list_agrees(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "trial", {"a": [b"1", b"2"], "b": [b"3"]})
    (root / "loose.png").write_bytes(b"4")

    def listed(*lines: str) -> tuple[tuple[str, ...], bool]:
        (tmp_path / "pairs.csv").write_text("\n".join(["reference,probe,same", *lines]), "utf-8")
        found = read_pairs(tmp_path / "pairs.csv", root, most_images=9)
        return found.folder.people, found.by_image

    assert listed("a/0.png,a/1.png,1", "a/0.png,b/0.png,0") == (("a", "b"), False)
    assert listed("a/0.png,a/1.png,no") == (("a/0.png", "a/1.png"), True)
    assert listed("a/0.png,b/0.png,TRUE")[1]
    assert listed("a/0.png,loose.png,no")[1]


def test_every_kind_of_file_is_counted_once(evaluated: Evaluated, tmp_path: Path) -> None:
    people = toy_people(4, 2)
    people["many faces"] = [toy_photo(1, 2), toy_photo(), b"no image", toy_photo(3)[:200], crashing_photo()]
    root = make_folder(tmp_path / "trial", people)
    dark = toy_photo(5)
    (root / "many faces" / "large.png").write_bytes(dark + bytes(3 * 1024 * 1024))
    (root / "many faces" / "again.png").write_bytes(b"no image")
    (root / "person 00" / "locked.png").write_bytes(dark)
    (root / "person 00" / "locked.png").unlink()
    os.mkfifo(root / "person 00" / "pipe.txt")

    document = evaluated(root, MIEN_MAX_PHOTO_BYTES=str(1024 * 1024))["acquisition"]

    assert document["failure_to_acquire"]["by_reason"] == {
        "no-answer": 1,
        "no-face": 1,
        "several-faces": 1,
        "too-large": 1,
        "undecodable-image": 1,
        "unsupported-image": 1,
    }
    assert (document["people"], document["people_with_a_face"], document["images"], document["measured"]) == (
        5,
        4,
        14,
        8,
    )
    assert document["left_out"] == {
        "files that are no image by their name": 1,
        "the same bytes again in one folder": 1,
    }


def test_an_unreadable_file_is_counted_and_is_no_failure_to_acquire(
    evaluated: Evaluated, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def locked(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith("person 03/1.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", locked)
    document = evaluated(folder)["acquisition"]

    assert document["left_out"] == {"files that cannot be read": 1}
    assert (document["images"], document["failure_to_acquire"]["images"]) == (29, 0)


def test_an_image_of_two_people_is_named_on_the_terminal_and_counted_in_the_report(
    command: Command, evaluated: Evaluated, folder: Path
) -> None:
    copy = folder / "person 07" / "copied \x1b[2J.png"
    copy.write_bytes((folder / "person 02" / "0.png").read_bytes())

    document, result = evaluated(folder), command(folder, "--force")

    assert document["acquisition"]["shared_images"] == 1
    assert [one for one in document["warnings"] if "identical" in one]
    assert "person 02/0.png" in result.stderr
    assert "\x1b" not in result.stderr
    assert "person 02" not in str(document)


def test_a_person_with_one_image_is_an_impostor_and_a_stranger(evaluated: Evaluated, tmp_path: Path) -> None:
    people = toy_people(5, 3)
    people["person 04"] = people["person 04"][:1]
    document = evaluated(make_folder(tmp_path / "trial", people))

    assert document["calibration"]["genuine_pairs"] == 12
    assert document["calibration"]["impostor_pairs"] == 13 * 12 // 2 - 12
    assert document["references"]["people"] == 4
    assert document["identification"][0]["mated_probes"] == 8
    assert document["identification"][0]["stranger_probes"] == 13


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ((5, 1), "that makes 0 comparisons of one person and 10 of two; at least 1 and 3 are needed"),
        ((2, 1), "that makes 0 comparisons of one person and 1 of two"),
    ],
)
def test_too_few_comparisons_are_refused(
    command: Command, tmp_path: Path, people: tuple[int, int], reason: str
) -> None:
    result = command(make_folder(tmp_path / "trial", toy_people(*people)))

    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr


def test_a_list_of_genuine_pairs_only_is_refused(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("reference,probe,same\nperson 00/0.png,person 00/1.png,yes\n", "utf-8")

    result = command(folder, "--pairs", tmp_path / "pairs.csv")

    assert result.exit_code == 1
    assert "that makes 1 comparisons of one person and 0 of two" in result.stderr


def test_only_listed_pairs_are_compared(evaluated: Evaluated, folder: Path, tmp_path: Path) -> None:
    lines = [f"person {n:02}/0.png,person {n:02}/1.png,yes" for n in range(10)]
    lines += [f"person {n:02}/0.png,person {n + 1:02}/2.png,no" for n in range(9)]
    (tmp_path / "pairs.csv").write_text("\n".join(["reference,probe,same", *lines]), "utf-8")

    document = evaluated(folder, "--pairs", tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("\n".join(["reference,probe,same", *lines, lines[0].replace("01", "02")]))
    assert (document["calibration"]["genuine_pairs"], document["calibration"]["impostor_pairs"]) == (10, 9)
    assert document["settings"]["resampled"] == "people"
    assert document["acquisition"]["images"] == 29
    assert document["groups"]["genuine_pairs"] == {"F": 5, "M": 4}
