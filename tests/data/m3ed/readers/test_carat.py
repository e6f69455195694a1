import numpy as np
import pytest


@pytest.fixture
def load_carat(tmp_path, save_torch, load):
    return lambda content, task="dialogue": load(save_torch(tmp_path / "m3ed.pt", content), task)


def test_gives_what_the_pickle_gives(world, carat, load, load_carat):
    expected, data = load(world, annotation=False), load_carat(carat)
    for name, split in expected.splits().items():
        found = data.splits()[name]
        assert found.ids.tolist() == [f"{name}-{i}" for i in range(len(split.ids))]
        assert found.soft is None
        np.testing.assert_array_equal(found.batch.labels, split.batch.labels)
        for modality, m in split.batch.modalities.items():
            other, steps = found.batch.modalities[modality], m.mask.shape[1]
            np.testing.assert_array_equal(other.values[:, :steps], m.values)
            np.testing.assert_array_equal(other.mask[:, :steps], m.mask)
            assert not other.mask[:, steps:].any()


def test_audio_and_visual_are_put_right_and_counted(carat, load_carat):
    data = load_carat(carat)
    ((what, count),) = data.card.repairs.items()
    assert "src-visual holds audio, src-audio holds vision" in what
    assert count == 5
    assert data.shapes() == {"text": (768, 60), "audio": (1024, 60), "vision": (342, 60)}


def test_names_that_are_right_stay(carat, load_carat):
    for part in carat.values():
        part["src-audio"], part["src-visual"] = part["src-visual"], part["src-audio"]
    data = load_carat(carat)
    assert not data.card.repairs
    assert data.shapes()["audio"] == (1024, 60)


def test_declared_lengths_count_and_zeros_within_are_real(carat, load_carat):
    carat["valid"]["src-audio"][0, 2] = 0
    carat["test"]["len_list"] = [70, 2]
    data = load_carat(carat)
    np.testing.assert_array_equal(data.valid.batch.modalities["vision"].mask.sum(1), [3])
    np.testing.assert_array_equal(data.test.batch.modalities["text"].mask.sum(1), [60, 2])
    assert (
        data.card.repairs["m3ed.pt, test, text: declared lengths beyond the array, cut to it"] == 1
    )


def test_tensors_and_lists_of_arrays_are_taken(tmp_path, carat, load, load_carat):
    torch = pytest.importorskip("torch")
    expected = load_carat(carat)
    for part in carat.values():
        part["src-text"] = torch.tensor(part["src-text"])
        part["src-audio"] = list(part["src-audio"])
        part["len_list"] = torch.tensor(part["len_list"])
        part["tgt"] = [torch.tensor(row) for row in part["tgt"]]
    torch.save(carat, tmp_path / "t.pt")
    data = load(tmp_path / "t.pt")
    np.testing.assert_array_equal(data.train.batch.labels, expected.train.batch.labels)
    for name, modality in expected.train.batch.modalities.items():
        np.testing.assert_array_equal(data.train.batch.modalities[name].values, modality.values)


def test_other_names_of_the_validation_split_and_other_keys_are_fine(carat, load_carat):
    carat["val"] = carat.pop("valid")
    carat["settings"] = "x"
    assert len(load_carat(carat).valid.ids) == 1


def test_single_utterances_are_not_in_it(carat, load_carat):
    with pytest.raises(ValueError, match=r"dialogues only; .* needs the authors' feature pickle"):
        load_carat(carat, "utterance")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tgt", [[2, 4, 3]], r"train, src-text: 2 samples, but tgt has 1"),
        ("tgt", [[2, 4, 3], [2, 11, 3]], r"train, tgt, row 1: \[2, 11, 3\], expected \[2, codes"),
        ("tgt", [[2, 4, 3], [4, 3]], "tgt, row 1"),
        ("tgt", [[2, 4, 4, 3], [2, 3]], "tgt, row 0"),
        ("tgt", [[2, 4, 3], []], "tgt, row 1"),
        ("tgt", [[2, 4.5, 3], [2, 3]], "tgt, row 0"),
        ("tgt", [], "train, tgt"),
        ("tgt", None, "train, tgt"),
        ("len_list", [1], r"train, len_list: int64 \(1,\), expected \(2,\) positive"),
        ("len_list", [1.0, 2.0], "train, len_list: float64"),
        ("len_list", [0, 2], "train, len_list"),
        ("len_list", [[1, 2], [3]], "train, len_list"),
        ("src-text", np.zeros((2, 60)), r"train, src-text: rows of shape \(60,\)"),
        ("src-text", np.zeros((2, 60, 342)), r"train: widths src-text: 342, src-audio: 342"),
        ("src-audio", [np.zeros((3, 342)), np.zeros((3, 5))], r"vision: row 1 has shape \(3, 5\)"),
        ("src-audio", "text", "train, src-audio"),
        ("src-audio", {}, "train, src-audio"),
    ],
)
def test_wrong_values_are_named(carat, load_carat, key, value, message):
    carat["train"][key] = value
    with pytest.raises(ValueError, match=r"m3ed\.pt.*" + message):
        load_carat(carat)


@pytest.mark.parametrize("key", ["src-text", "src-visual", "src-audio", "len_list", "tgt"])
def test_a_missing_key_is_named(carat, load_carat, key):
    del carat["test"][key]
    with pytest.raises(ValueError, match=rf"m3ed\.pt, test: no key {key} among"):
        load_carat(carat)


def test_a_missing_split_is_named(carat, load_carat):
    del carat["test"]
    with pytest.raises(ValueError, match=r"m3ed\.pt: no key 'test' among \['train', 'valid'\]"):
        load_carat(carat)


def test_padded_codes_are_taken(carat, load_carat, hot):
    carat["train"]["tgt"] = np.array([[2, 4, 10, 3, 0], [2, 3, 0, 0, 0]])
    np.testing.assert_array_equal(
        load_carat(carat).train.batch.labels, [hot("happy", "surprise"), hot()]
    )
