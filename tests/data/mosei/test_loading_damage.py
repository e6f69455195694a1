"""Altered files of every layout: the right data or a ValueError that names file and key."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lddu.data import mosei
from lddu.data.formats import UnsafePickleError
from lddu.data.mosei.readers.layouts import read

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LAYOUTS = {
    "mmsa": ("aligned", lambda make, world: make.mmsa(world, "aligned")),
    "mmsa-unaligned": ("unaligned", lambda make, world: make.mmsa(world, "unaligned")),
    "lddu": ("unaligned", lambda make, world: make.lddu(world, "unaligned")),
    "tailor": ("aligned", lambda make, world: make.tailor(world)),
    "multibench": ("aligned", lambda make, world: make.plain(world, "aligned", "segment", True)),
    "mult": ("unaligned", lambda make, world: make.plain(world, "unaligned", "interval", False)),
}
KEYS = {
    "mmsa": ("text", "audio", "vision", "id", "regression_labels", "text_bert"),
    "mmsa-unaligned": ("audio", "vision", "audio_lengths", "vision_lengths"),
    "lddu": ("text", "audio", "id", "tgt", "vision_lengths"),
    "tailor": ("src-text", "src-audio", "src-visual", "tgt"),
    "multibench": ("text", "vision", "labels", "id"),
    "mult": ("text", "audio", "labels", "id"),
}
# Never needed, or not by this layout: without them the data are the same.
OPTIONAL = {"text_bert", "audio_lengths", "vision_lengths", "id"}
WRONG = (
    *(None, 3, "text", b"bytes", [], {}, {"a": 1}, (), [None], np.array(5), np.zeros(0), set()),
    *(np.zeros((40, 9)), np.zeros((40, 9, 5, 2)), np.array([""] * 40), [[1, [2]]] * 40),
    *(np.zeros((40, 9, 0)), np.zeros((0, 9, 5)), np.empty(40, object), [np.zeros((2, 3)), 1]),
    *(np.zeros((40, 9, 5), complex), np.zeros((40, 9, 5), "M8[s]"), OrderedDict(x=1), range(3)),
    *([np.zeros((2, 5)), np.zeros((2, 6))] * 20, ["a", 1] * 20, [2**70] * 40, [float("nan")] * 40),
    *(np.full(40, np.nan), np.full(40, -1), np.full(40, 0.5), [[2, 3, 1]] * 40, [[]] * 40),
)


def load(path, setting):
    return mosei.load(path, setting=setting, cache=None, progress=False)


@pytest.fixture(scope="module")
def contents(make, world):
    return {name: build(make, world) for name, (_, build) in LAYOUTS.items()}


@pytest.fixture
def folder(make, world, tmp_path):
    make.labels_csd(world, tmp_path)
    return tmp_path


def altered(content, split, change):
    """A copy with one split changed; arrays are shared."""
    content = {key: dict(part) if isinstance(part, dict) else part for key, part in content.items()}
    change(content[split])
    return content


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_key_is_named(contents, make, folder, layout, split):
    setting = LAYOUTS[layout][0]
    for key in KEYS[layout]:
        content = altered(contents[layout], split, lambda part, key=key: part.pop(key))
        path = make.pickled(content, folder / "x.pkl")
        needed = key not in OPTIONAL or (key == "id" and layout in ("mmsa", "lddu", "mult"))
        needed &= (layout, key) != ("lddu", "tgt")  # the labels file is there
        if not needed:
            load(path, setting)
            continue
        with pytest.raises(ValueError, match=r"x\.pkl") as raised:
            load(path, setting)
        no_layout = split == "train" and "no layout" in str(raised.value)
        assert no_layout or key in str(raised.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_numbers_of_samples_are_named(contents, make, folder, layout):
    setting = LAYOUTS[layout][0]
    for key in KEYS[layout]:
        for change in (lambda x: x[:-1], lambda x: x[:0]):
            content = altered(
                contents[layout],
                "valid",
                lambda part, key=key, change=change: part.update({key: change(part[key])}),
            )
            path = make.pickled(content, folder / "x.pkl")
            with pytest.raises(ValueError, match=r"x\.pkl valid") as raised:
                load(path, setting)
            assert repr(key) in str(raised.value) or "no samples" in str(raised.value)


@FUZZ
@given(layout=st.sampled_from(list(LAYOUTS)), data=st.data())
def test_a_wrong_value_is_an_error_that_names_file_and_split(contents, make, folder, layout, data):
    setting = LAYOUTS[layout][0]
    key = data.draw(st.sampled_from(KEYS[layout]))
    wrong = data.draw(st.sampled_from(range(len(WRONG))))
    content = altered(contents[layout], "train", lambda part: part.update({key: WRONG[wrong]}))
    path = make.pickled(content, folder / "x.pkl")
    with pytest.raises(ValueError, match=r"x\.pkl") as raised:
        load(path, setting)
    assert "train" in str(raised.value)


@pytest.fixture(scope="module")
def intact(contents, world, make, tmp_path_factory):
    """Layout -> training split of the file as it should be."""
    folder = tmp_path_factory.mktemp("intact")
    make.labels_csd(world, folder)
    return {
        name: load(make.pickled(contents[name], folder / "x.pkl"), setting).train
        for name, (setting, _) in LAYOUTS.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(FUZZ, max_examples=8)
@given(order=st.permutations(range(40)).map(np.array))
def test_reordered_rows_are_followed_or_refused(contents, intact, make, folder, layout, order):
    """All keys in another order: the same samples. One key only: seen where it can be."""
    setting = LAYOUTS[layout][0]

    def shuffled(values):
        if isinstance(values, np.ndarray):
            return values[order]
        return [values[i] for i in order]

    content = altered(
        contents[layout],
        "train",
        lambda part: part.update({key: shuffled(values) for key, values in part.items()}),
    )
    found = load(make.pickled(content, folder / "x.pkl"), setting).train
    expected = intact[layout]
    np.testing.assert_array_equal(found.batch.labels, expected.batch.labels[order])
    for name, modality in found.batch.modalities.items():
        wanted = expected.batch.modalities[name]
        np.testing.assert_array_equal(modality.values, wanted.values[order])
        np.testing.assert_array_equal(modality.mask, wanted.mask[order])
    if layout != "tailor":
        assert list(found.ids) == list(expected.ids[order])
    if layout in ("mmsa", "mmsa-unaligned", "mult"):
        key = "labels" if layout == "mult" else "regression_labels"
        content = altered(
            contents[layout], "train", lambda part: part.update({key: shuffled(part[key])})
        )
        if (order != np.arange(40)).sum() > 2:
            with pytest.raises(ValueError, match=r"x\.pkl train: .* rows do not fit"):
                load(make.pickled(content, folder / "x.pkl"), setting)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_truncated_file_is_an_error(contents, make, tmp_path, layout):
    data = pickle.dumps(contents[layout], 4)
    for end in [0, 1, 2, 50, *np.linspace(100, len(data) - 1, 8).astype(int)]:
        (tmp_path / "x.pkl").write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"x\.pkl"):
            read(tmp_path / "x.pkl")


@FUZZ
@given(layout=st.sampled_from(list(LAYOUTS)), data=st.data())
def test_altered_bytes_are_an_error_or_numbers(contents, make, folder, layout, data):
    """The head of the pickle, where its structure is, and anywhere."""
    content = bytearray(pickle.dumps(contents[layout], 4))
    for _ in range(data.draw(st.integers(1, 3))):
        top = data.draw(st.sampled_from([400, len(content)])) - 1
        content[data.draw(st.integers(0, top))] = data.draw(st.integers(0, 255))
    path = folder / "x.pkl"
    path.write_bytes(content)
    error, found = None, None
    try:
        found = load(path, LAYOUTS[layout][0])
    except ValueError as raised:
        error = str(raised)
    if found is None:
        assert "x.pkl" in error
        return
    for split in found.splits().values():
        assert set(np.unique(split.batch.labels)) <= {0, 1}
        assert all(np.isfinite(m.values).all() for m in split.batch.modalities.values())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.nn.modules.linear.Linear"])
def test_hostile_files_are_refused(contents, make, tmp_path, layout, name):
    module, _, function = name.rpartition(".")
    call = b"c%s\n%s\n(S'1'\ntR" % (module.encode(), function.encode())
    start = pickle.dumps(contents[layout], 4)
    # As one more entry of the dict: before STOP, the dict is on the stack.
    content = start[:-1] + b"S'settings'\n" + call + b"s."
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(UnsafePickleError, match=name):
        load(tmp_path / "x.pkl", LAYOUTS[layout][0])


@pytest.mark.parametrize(
    "content", [None, 3, [], {}, {"train": {}}, {"train": 1, "valid": 2, "test": 3}, np.zeros(3)]
)
def test_other_content_is_an_error(make, tmp_path, content):
    path = make.pickled(content, tmp_path / "x.pkl")
    with pytest.raises(ValueError, match=r"x\.pkl"):
        load(path, "aligned")


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((40, 3)),
        np.ones((40, 2, 9)),
        np.full((40, 3, 9), 0.5),
        np.full((40, 3, 9), np.nan),
        np.tile([0, 1, 1], (40, 3, 3)),
    ],
)
def test_a_mask_that_is_none_is_an_error(contents, make, folder, mask):
    content = altered(contents["mmsa"], "train", lambda part: part.update(text_bert=mask))
    with pytest.raises(ValueError, match=r"x\.pkl train 'text_bert'"):
        load(make.pickled(content, folder / "x.pkl"), "aligned")


# --- .csd files ---


def change_csd(path, how):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as file:
        data = file["All Labels/data"]
        how(h5py, file, data)


def _delete(h5py, file, data):
    del data["alpha/features"]


def _group(h5py, file, data):
    del data["alpha/features"]
    data.create_group("alpha/features")


def _rows(h5py, file, data):
    del data["alpha/intervals"]
    data["alpha/intervals"] = np.zeros((3, 2))


def _columns(h5py, file, data):
    del data["alpha/features"]
    data["alpha/features"] = np.zeros((12, 8))


def _text(h5py, file, data):
    del data["alpha/features"]
    data["alpha/features"] = np.full((12, 7), b"x")


def _flat(h5py, file, data):
    del data["alpha/features"]
    data["alpha/features"] = np.zeros(12)


def _external(h5py, file, data):
    data["alpha"].move("features", "gone")
    data["alpha/features"] = h5py.ExternalLink("/etc/passwd", "/x")


def _soft(h5py, file, data):
    data["alpha"].move("features", "gone")
    data["alpha/features"] = h5py.SoftLink("/All Labels/data/alpha/gone")


def _huge(h5py, file, data):
    del data["alpha/features"]
    data.create_dataset("alpha/features", (10**12, 7), "f4", chunks=(1024, 7))


def _raw(h5py, file, data):
    del data["alpha/features"]
    data.create_dataset("alpha/features", (12, 7), "f4", external=[("/dev/zero", 0, 12 * 28)])


def _roots(h5py, file, data):
    file.create_group("Other")


def _no_data(h5py, file, data):
    del file["All Labels/data"]


@pytest.mark.parametrize(
    "how",
    [
        *(_delete, _group, _rows, _columns, _text, _flat, _external, _soft, _huge, _raw, _roots),
        _no_data,
    ],
)
def test_a_wrong_labels_file_is_an_error_that_names_it(contents, make, folder, how):
    path = make.pickled(contents["mmsa"], folder / "x.pkl")
    change_csd(folder / "CMU_MOSEI_Labels.csd", how)
    for options in ({}, {"labels": folder / "CMU_MOSEI_Labels.csd"}):
        with pytest.raises(ValueError, match=r"CMU_MOSEI_Labels\.csd"):
            mosei.load(path, cache=None, progress=False, **options)


def test_a_truncated_labels_file_is_an_error(contents, make, folder):
    path = make.pickled(contents["mmsa"], folder / "x.pkl")
    data = (folder / "CMU_MOSEI_Labels.csd").read_bytes()
    for end in (0, 8, 100, len(data) // 2, len(data) - 1):
        (folder / "CMU_MOSEI_Labels.csd").write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"CMU_MOSEI_Labels\.csd"):
            load(path, "aligned")


def test_the_contents_are_left_as_they_were(contents, world, make):
    # The tests above share them.
    again = LAYOUTS["mmsa"][1](make, world)
    for key, values in contents["mmsa"]["train"].items():
        assert (
            copy.deepcopy(np.asarray(values)).tolist() == np.asarray(again["train"][key]).tolist()
        )
