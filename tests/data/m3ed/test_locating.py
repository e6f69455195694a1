import shutil

import numpy as np
import pytest

from lddu.data import m3ed
from lddu.data.m3ed.locating import locate


@pytest.fixture
def folder(world, tmp_path):
    return world.save(tmp_path / "m3ed")


def test_a_folder_or_the_feature_file_in_it(folder):
    for path in (folder, folder / "features.pkl", str(folder)):
        files = locate(path, "utterance")
        assert files.features == folder / "features.pkl"
        assert files.annotation.name == "annotation.json"
        assert list(files.lists) == ["train", "valid", "test"]


@pytest.mark.parametrize("given", ["folder", "file"])
def test_features_may_lie_in_a_folder_of_their_own(folder, given):
    (folder / "features").mkdir()
    moved = folder / "features" / "some_name.bin"
    (folder / "features.pkl").rename(moved)
    files = locate(folder if given == "folder" else moved, "utterance")
    assert files.features == moved
    assert files.annotation.parent.samefile(folder)


def test_the_lists_may_lie_beside_the_features(folder):
    for path in (folder / "splitInfo").iterdir():
        path.rename(folder / path.name)
    (folder / "splitInfo").rmdir()
    assert locate(folder, "dialogue").lists["valid"].name == "movie_list_val.txt"


def test_two_feature_files_are_ambiguous(folder):
    shutil.copy(folder / "features.pkl", folder / "other.pkl")
    with pytest.raises(ValueError, match=r"several feature files: features\.pkl, other\.pkl"):
        locate(folder, "dialogue")


def test_carats_file_is_no_rival_where_it_cannot_serve(folder, carat, save_torch):
    save_torch(folder / "m3ed_data_60.pt", carat)
    with pytest.raises(ValueError, match="several feature files"):
        locate(folder, "dialogue")
    assert locate(folder, "utterance").features.name == "features.pkl"
    assert locate(folder / "m3ed_data_60.pt", "dialogue").features.name == "m3ed_data_60.pt"


@pytest.mark.parametrize("task", ["dialogue", "utterance"])
def test_a_folder_without_features_says_what_is_there_and_what_is_needed(folder, task):
    (folder / "features.pkl").unlink()
    message = rf"holds annotation\.json, splitInfo; task '{task}' needs the authors' feature pickle"
    with pytest.raises(ValueError, match=message):
        locate(folder, task)


def test_an_incomplete_splitinfo_is_an_error(folder):
    (folder / "splitInfo" / "movie_list_val.txt").unlink()
    with pytest.raises(ValueError, match=r"splitInfo lacks movie_list_val\.txt"):
        locate(folder, "dialogue")


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        m3ed.load(tmp_path / "nowhere", cache=None)
    with pytest.raises(ValueError, match="holds nothing"):
        m3ed.load(tmp_path, cache=None)


def test_an_unknown_task_is_named(folder):
    with pytest.raises(ValueError, match="task='turn'"):
        m3ed.load(folder, task="turn", cache=None)


def test_content_decides_and_not_the_name(world, carat, tmp_path, save_torch, load):
    world.save(tmp_path / "a")
    (tmp_path / "a" / "features.pkl").rename(tmp_path / "a" / "m3ed_data_60.pt")
    assert load(tmp_path / "a").card.layout == "the authors' feature pickle"
    (tmp_path / "b").mkdir()
    save_torch(tmp_path / "b" / "features.pkl", carat)
    assert load(tmp_path / "b").card.layout == "CARAT's m3ed_data_60.pt"


def test_the_second_load_comes_from_the_cache(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = m3ed.load(folder, cache=cache)
    monkeypatch.setattr(m3ed.loading, "load_torch", None)
    second = m3ed.load(folder, cache=cache)
    assert second.card == first.card
    np.testing.assert_array_equal(second.train.soft, first.train.soft)
    for name, modality in first.test.batch.modalities.items():
        np.testing.assert_array_equal(second.test.batch.modalities[name].values, modality.values)
        np.testing.assert_array_equal(second.test.batch.modalities[name].mask, modality.mask)


def test_tasks_and_changed_files_have_caches_of_their_own(folder, world, tmp_path):
    cache = tmp_path / "cache"
    assert len(m3ed.load(folder, cache=cache).train.ids) == 2
    assert len(m3ed.load(folder, task="utterance", cache=cache).train.ids) == 3
    world.emotions("sa_1_1")["EmoAnnotator1"] = "Fear"
    world.save(folder)
    assert m3ed.load(folder, cache=cache).train.soft[0, 5] > 0


def test_the_default_cache_is_the_users(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LDDU_CACHE", str(tmp_path / "mine"))
    m3ed.load(folder)
    assert any((tmp_path / "mine").iterdir())
