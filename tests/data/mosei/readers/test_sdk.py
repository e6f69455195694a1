"""The SDK's files: words, frames and segments against means taken frame by frame."""

import json

import numpy as np
import pytest

from lddu.data import mosei
from lddu.data.mosei.readers import sdk

VIDEOS = {"train": ["a", "b-2"], "valid": ["c"], "test": ["d"]}
SEGMENTS = 3


@pytest.fixture(scope="module")
def frames():
    """Modality -> video -> (intervals, features); frames overlap the borders of words."""
    rng = np.random.default_rng(0)
    out = {"text": {}, "audio": {}, "vision": {}, "labels": {}}
    for number, video in enumerate(v for videos in VIDEOS.values() for v in videos):
        edges = np.sort(rng.uniform(0, 30, 2 * SEGMENTS))
        edges[1::2] += 0.5
        out["labels"][video] = (
            edges.reshape(-1, 2),
            np.concatenate(
                [rng.uniform(-3, 3, (SEGMENTS, 1)), rng.integers(0, 4, (SEGMENTS, 6))], 1
            ),
        )
        words = np.sort(rng.uniform(0, 30, 60))
        words = np.stack([words, np.append(words[1:], 31)], 1)
        words[7, 1] = words[7, 0]  # no time at all
        out["text"][video] = (words, rng.normal(size=(60, 300)))
        for name, rate, width in (("audio", 100, 74), ("vision", 30, 35)):
            start = np.arange(31 * rate) / rate
            order = rng.permutation(len(start))  # files need not be sorted
            intervals = np.stack([start, start + 1 / rate], 1)[order]
            out[name][video] = (intervals, rng.normal(size=(len(start), width)))
        if number == 3:
            del out["vision"][video]
    out["audio"]["a"][1][:200] = -np.inf
    # As the file has them.
    return {
        name: {v: tuple(x.astype(np.float32) for x in pair) for v, pair in videos.items()}
        for name, videos in out.items()
    }


@pytest.fixture(scope="module")
def folder(frames, make, tmp_path_factory):
    path = tmp_path_factory.mktemp("sdk")
    roots = {
        "text": "glove_vectors",
        "audio": "COVAREP",
        "vision": "FACET 4.2",
        "labels": "All Labels",
    }
    for name, root in roots.items():
        make.csd(path / f"CMU_MOSEI_{name}.csd", root, frames[name])
    (path / "folds.json").write_text(json.dumps(VIDEOS))
    return path


def load(path, **options):
    return mosei.load(path, cache=None, progress=False, **options)


def overlapping(intervals, start, end):
    """By the definition, one by one, in order of time."""
    found = [
        (a, i)
        for i, (a, b) in enumerate(intervals.astype(float))
        if min(b, end) - max(a, start) > 1e-5
    ]
    return [i for _, i in sorted(found)]


def finite(values):
    return np.where(np.isfinite(values), values, 0).astype(float)


def mean(values, rows):
    return finite(values[rows]).mean(0) if len(rows) else np.zeros(values.shape[1])


@pytest.mark.parametrize("setting", ["aligned", "unaligned"])
def test_steps_are_means_of_what_overlaps(frames, folder, setting, monkeypatch):
    monkeypatch.setattr(sdk, "MOST_FRAMES", 120)
    data = load(folder, setting=setting)
    assert data.card.layout == f"CMU SDK, {setting}"
    for split, found in data.splits().items():
        places = [(v, k) for v in VIDEOS[split] for k in range(SEGMENTS)]
        assert list(found.ids) == [f"{v}[{k}]" for v, k in places]
        for row, (video, k) in enumerate(places):
            start, end = frames["labels"][video][0][k].astype(float)
            words = overlapping(frames["text"][video][0], start, end)[:50]
            for name in ("text", "audio", "vision"):
                intervals, values = frames[name].get(video, (np.zeros((0, 2)), np.zeros((0, 35))))
                if name == "text":
                    expected = values[words]
                elif setting == "aligned":
                    spans = frames["text"][video][0][words].astype(float)
                    expected = [mean(values, overlapping(intervals, a, b)) for a, b in spans]
                else:
                    rows = overlapping(intervals, start, end)
                    parts = np.array_split(rows, min(len(rows), 120)) if rows else []
                    expected = [mean(values, part) for part in parts]
                expected = np.reshape(expected, (-1, values.shape[1]))
                if not np.any(expected):
                    expected = expected[:0]
                modality = found.batch.modalities[name]
                steps = modality.mask[row].sum()
                assert steps == len(expected)
                np.testing.assert_allclose(modality.values[row, :steps], expected, atol=1e-5)
        levels = np.concatenate([frames["labels"][v][1][:, 1:] for v in VIDEOS[split]])
        np.testing.assert_array_equal(found.batch.labels, levels > 0)
        np.testing.assert_allclose(found.soft, levels / 3, atol=1e-6)
    assert not data.test.batch.present["vision"].any()
    (count,) = [n for what, n in data.card.repairs.items() if "NaN or infinite" in what]
    assert count == 200 * 74


def test_at_most_50_words(frames, folder):
    assert load(folder).shapes()["text"][1] <= 50
    assert load(folder, setting="unaligned").shapes()["audio"][1] <= 500


def test_segments_without_anything_are_dropped(frames, folder, make, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    labels = {v: (x.copy(), y) for v, (x, y) in frames["labels"].items()}
    labels["a"][0][1] = [100, 105]
    make.csd(tmp_path / "CMU_MOSEI_labels.csd", "All Labels", labels)
    data = load(tmp_path)
    assert "a[1]" not in data.train.ids
    assert len(data.train.ids) == 5
    assert any("without any step at all" in what for what in data.card.repairs)


def test_the_sdks_own_file_of_folds_is_read_and_never_run(folder, tmp_path):
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "cmu_mosei_std_folds.py"
    path.write_text(
        f"import pathlib\npathlib.Path({str(sentinel)!r}).touch()\n"
        "standard_train_fold=['a', 'b-2']\nother = [1]\n"
        "standard_valid_fold=['c']\nstandard_test_fold=['d', 'unknown']\n"
    )
    data = load(folder, folds=path)
    assert len(data.train.ids) == 6
    assert not sentinel.exists()
    assert data.card.repairs["test: videos without labels, left out"] == 1
    assert data.card.sources[-1].file == "cmu_mosei_std_folds.py"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.py", "standard_train_fold = open('x')", "cannot be read"),
        ("f.py", "standard_train_fold = ['a']", "'valid' must be a list"),
        ("f.py", "standard_train_fold = [1]", "'train' must be a list"),
        ("f.py", "def (", "SyntaxError"),
        ("f.py", "x = " + "(" * 5000, "cannot be read"),
        ("f.py", "standard_train_fold = " + "-" * 5000 + "1", "cannot be read|no list"),
        ("f.json", "[1]", "a list, expected"),
        (
            "f.json",
            '{"train": ["a"], "valid": ["a"], "test": []}',
            "in both train and valid, such as 'a'",
        ),
        ("f.json", '{"train": ["a"], "valid": [], "test": 3}', "'test' must be a list"),
        ("f.json", "[" * 100_000, "cannot be read"),
        ("f.json", "\x00", "cannot be read"),
        ("f.json", '{"train": ["x"], "valid": ["c"], "test": ["d"]}', "none of its 1 videos"),
    ],
)
def test_bad_folds(folder, tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load(folder, folds=path)


def test_missing_parts_are_named(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "folds.json").unlink()
    with pytest.raises(ValueError, match="pass folds="):
        load(tmp_path)
    (tmp_path / "CMU_MOSEI_labels.csd").rename(tmp_path / "labels.bin")
    with pytest.raises(ValueError, match="pass labels="):
        load(tmp_path)
    (tmp_path / "CMU_MOSEI_text.csd").unlink()
    with pytest.raises(ValueError, match="no aligned data set"):
        load(tmp_path)


def test_openface_is_left_aside_for_facet_and_said(frames, folder, make, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = {v: (x, np.zeros((len(x), 713))) for v, (x, _) in frames["vision"].items()}
    make.csd(tmp_path / "o.csd", "OpenFace_2", other)
    data = load(tmp_path)
    assert data.shapes()["vision"][0] == 35
    assert any("o.csd was not used" in text for text in data.card.warnings)
    make.csd(tmp_path / "p.csd", "COVAREP", frames["audio"])
    with pytest.raises(ValueError, match=r"several \.csd files for audio"):
        load(tmp_path)
