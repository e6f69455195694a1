"""Which file is taken: by content, with an error that lists what is there in all other cases."""

import os

import numpy as np
import pytest

from lddu.data import mosei
from lddu.data.formats import UnsafePickleError


def load(path, **options):
    options.setdefault("cache", None)
    return mosei.load(path, progress=False, **options)


def test_names_narrow_and_content_decides(world, make, tmp_path):
    inner = tmp_path / "Processed"
    inner.mkdir()
    make.pickled(make.lddu(world, "aligned"), inner / "aligned_501.pkl")
    make.pickled(make.lddu(world, "unaligned"), inner / "no_align_501.pkl")
    assert load(tmp_path).card.layout == "LDDU, aligned"
    assert load(tmp_path, setting="unaligned").card.layout == "LDDU, unaligned"
    (inner / "aligned_501.pkl").rename(inner / "a.pkl")
    (inner / "no_align_501.pkl").rename(inner / "b.pkl")
    assert load(tmp_path).card.sources[0].file == "a.pkl"
    assert load(tmp_path, setting="unaligned").card.sources[0].file == "b.pkl"


def test_a_file_of_the_other_setting_is_an_error(world, make, tmp_path):
    path = make.pickled(make.lddu(world, "unaligned"), tmp_path / "aligned.pkl")
    for where in (path, tmp_path):
        with pytest.raises(ValueError, match="is unaligned"):
            load(where)


def test_two_that_fit_are_an_error_that_lists_them(world, make, tmp_path):
    make.pickled(make.lddu(world, "aligned"), tmp_path / "x.pkl")
    make.pickled(make.tailor(world), tmp_path / "y.pt")
    with pytest.raises(ValueError, match=r"several .*x\.pkl \(LDDU\), y\.pt \(TAILOR\)"):
        load(tmp_path)
    assert load(tmp_path / "x.pkl").card.layout == "LDDU, aligned"


def test_nothing_that_fits_is_an_error_that_lists_what_there_is(world, make, tmp_path):
    with pytest.raises(ValueError, match="no files"):
        load(tmp_path)
    make.pickled([1, 2], tmp_path / "list.pkl")
    make.pickled({"train": {}, "valid": {}, "test": {}}, tmp_path / "none.pkl")
    with pytest.raises(ValueError, match=r"list\.pkl: a list.*none\.pkl: no layout"):
        load(tmp_path)


def test_missing_labels_say_what_to_pass(world, make, tmp_path):
    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "aligned_50.pkl")
    with pytest.raises(ValueError, match=r"train 40, valid 12, test 11 rows.*CMU_MOSEI_Labels"):
        load(path)
    make.pickled(make.tailor(world), tmp_path / "train_valid_test.pt")
    with pytest.raises(ValueError, match=r"train_valid_test\.pt labels MulT's file only"):
        load(path)


def test_labels_may_lie_elsewhere(world, make, tmp_path):
    (tmp_path / "there").mkdir()
    labels = make.labels_csd(world, tmp_path / "there")
    (tmp_path / "here").mkdir()
    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "here" / "aligned_50.pkl")
    assert load(path, labels=labels).train.soft is not None


def test_a_labels_file_that_is_none_is_an_error(world, make, tmp_path):
    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "aligned_50.pkl")
    videos = {"a": (np.zeros((2, 2)), np.zeros((2, 300)))}
    other = make.csd(tmp_path / "x.csd", "glove_vectors", videos)
    with pytest.raises(ValueError, match=r"root 'glove_vectors' with 300 columns"):
        load(path, labels=other)
    text = tmp_path / "y.csd"
    text.write_text("no HDF5")
    with pytest.raises(ValueError, match=r"y\.csd cannot be read"):
        load(path, labels=text)


def test_paths_that_are_not_there(world, make, tmp_path):
    path = make.pickled(make.lddu(world, "aligned"), tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(path, labels=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="setting='words'"):
        load(path, setting="words")


def test_a_csd_file_asks_for_its_folder(world, make, tmp_path):
    with pytest.raises(ValueError, match="pass their folder"):
        load(make.labels_csd(world, tmp_path))


def test_without_h5py_the_error_says_what_to_install(world, make, tmp_path, monkeypatch):
    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "aligned_50.pkl")
    make.labels_csd(world, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'lddu\[data\]'"):
        load(path)
    # Not needed: the labels are in the file.
    make.pickled(make.lddu(world, "aligned"), path)
    assert load(tmp_path).card.layout == "LDDU, aligned"


def test_a_hostile_file_is_refused_by_name(tmp_path):
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "aligned_50.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(sentinel).encode())
    for where in (path, tmp_path):
        with pytest.raises(UnsafePickleError, match=r"aligned_50\.pkl asks for 'os\.system'"):
            load(where)
    (tmp_path / "other.pkl").write_bytes(b"nothing")
    with pytest.raises(UnsafePickleError, match=r"aligned_50\.pkl asks for 'os\.system'"):
        load(tmp_path)
    assert not sentinel.exists()


@pytest.mark.parametrize("setting", ["aligned", "unaligned"])
def test_the_second_load_comes_from_the_cache_and_is_equal(
    world, make, tmp_path, setting, monkeypatch
):
    folder, cache = tmp_path / "data", tmp_path / "cache"
    folder.mkdir()
    make.pickled(make.mmsa(world, setting), folder / f"{setting}_50.pkl")
    make.labels_csd(world, folder)
    fresh = load(folder, setting=setting)
    first = load(folder, setting=setting, cache=cache)

    def forbidden(*_):
        raise AssertionError("the file was read again")

    monkeypatch.setattr("lddu.data.mosei.readers.layouts.load_pickle", forbidden)
    monkeypatch.setattr("lddu.data.mosei.loading.read_source", forbidden)
    second = load(folder, setting=setting, cache=cache)
    for a, b in ((fresh, first), (first, second)):
        assert a.card == b.card
        for x, y in zip(a.splits().values(), b.splits().values(), strict=True):
            np.testing.assert_array_equal(x.ids, y.ids)
            np.testing.assert_array_equal(x.soft, y.soft)
            np.testing.assert_array_equal(x.batch.labels, y.batch.labels)
            for name, modality in x.batch.modalities.items():
                np.testing.assert_array_equal(modality.values, y.batch.modalities[name].values)
                np.testing.assert_array_equal(modality.mask, y.batch.modalities[name].mask)
    assert isinstance(second.train.batch.modalities["text"].values, np.memmap)
    os.utime(folder / "CMU_MOSEI_Labels.csd", ns=(1, 1))  # another file
    with pytest.raises(AssertionError, match="read again"):
        load(folder, setting=setting, cache=cache)


def test_the_cache_is_where_the_environment_says(world, make, tmp_path, monkeypatch):
    monkeypatch.setenv("LDDU_CACHE", str(tmp_path / "cache"))
    load(make.pickled(make.lddu(world, "aligned"), tmp_path / "a.pkl"), cache=True)
    assert len(list((tmp_path / "cache").glob("*/dataset.json"))) == 1
