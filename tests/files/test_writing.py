"""A file or folder is there as a whole, or as it was."""

import pytest

from lddu.files import atomic_path, write_text


def test_a_file_takes_its_place_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        assert write_text(path, text) == path
        assert path.read_text() == text
        assert list(path.parent.iterdir()) == [path]


def test_a_folder_takes_its_place_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic_path(path) as partial:
            partial.mkdir()
            (partial / name).touch()
        assert [file.name for file in path.iterdir()] == [name]
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("make", ["file", "folder"])
def test_a_failure_leaves_what_was_there(tmp_path, make):
    path = write_text(tmp_path / "file.txt", "before")

    def fail():
        with atomic_path(path) as partial:
            partial.mkdir() if make == "folder" else partial.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert write_text(tmp_path / "atomic", "").stat().st_mode == plain.stat().st_mode
