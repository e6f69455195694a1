import numpy as np
import pytest

from lddu.data import studyforrest


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    n, w, d = 6, 7, 5
    return {
        "text": rng.normal(size=(n, w, d)).astype(np.float16),
        "text_length": np.array([0, 7, 3, 1, 0, 2], np.int16),
        "audio": rng.normal(size=(n, 20, 5)).astype(np.float32),
        "vision": rng.normal(size=(n, 20, 149)).astype(np.float16),
        "votes": rng.random((n, 9, 22)) < 0.2,
        "arousal": rng.random((n, 9, 2)) < 0.2,
        "valence": rng.random((n, 9, 2)) < 0.2,
        "start": np.arange(n, dtype=np.float32),
        "end": np.arange(n, dtype=np.float32) + 4,
        "split": np.array([0, 0, 1, 2, 2, 0], np.int8),
        "emotions": np.array([name.upper() for name in studyforrest.EMOTIONS]),
    }


def test_what_is_stored_comes_back(tmp_path, arrays):
    path = tmp_path / "w.npz"
    np.savez(path, **arrays)
    windows = studyforrest.load_windows(path)
    assert len(windows) == 6
    assert windows.emotions == studyforrest.EMOTIONS
    for name in ("votes", "arousal", "valence", "start", "end", "split"):
        np.testing.assert_array_equal(getattr(windows, name), arrays[name])
    for name in ("text", "audio", "vision"):
        modality = windows.batch.modalities[name]
        assert modality.values.dtype == np.float32
        np.testing.assert_array_equal(modality.values, arrays[name].astype(np.float32))
    np.testing.assert_array_equal(windows.batch.modalities["text"].mask.sum(1), [0, 7, 3, 1, 0, 2])
    np.testing.assert_array_equal(windows.batch.present["text"], [0, 1, 1, 1, 0, 1])
    assert windows.batch.modalities["vision"].mask.all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("audio", None, "no array audio"),
        ("audio", np.zeros((5, 20, 5), np.float32), r"'audio' is float32 \(5, 20, 5\), .*\(6, 20"),
        ("votes", np.zeros((6, 8, 22), bool), r"'votes' is bool \(6, 8, 22\)"),
        ("votes", np.zeros((6, 9, 22), np.float32), "'votes' is float32"),
        ("text", np.zeros((6, 7), np.float16), r"'text' is float16 \(6, 7\)"),
        ("start", np.full(6, np.nan, np.float32), "'start' holds numbers that are not finite"),
        ("text_length", np.full(6, 8), "'text_length' goes from 8 to 8, expected 0 to 7"),
        ("split", np.full(6, -1), "'split' goes from -1 to -1, expected 0 to 2"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, arrays, name, value, message):
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    path = tmp_path / "w.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"w\.npz is damaged: .*" + message):
        studyforrest.load_windows(path)


def test_files_that_are_no_npz(tmp_path, arrays):
    path = tmp_path / "w.npz"
    with pytest.raises(FileNotFoundError, match=r"w\.npz"):
        studyforrest.load_windows(path)
    np.savez(path, **arrays)
    whole = path.read_bytes()
    for content in (b"", b"not a zip file", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"w\.npz"):
            studyforrest.load_windows(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"one\.npy"):
        studyforrest.load_windows(tmp_path / "one.npy")


def test_pickles_are_refused(tmp_path, arrays):
    arrays["emotions"] = arrays["emotions"].astype(object)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match=r"w\.npz is damaged: 'emotions' .* it is object"):
        studyforrest.load_windows(tmp_path / "w.npz")


def test_damaged_bytes_name_the_array(tmp_path, arrays):
    path = tmp_path / "w.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    at = content.index(arrays["vision"].tobytes()[:64])
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.npz is damaged: 'vision' cannot be read: .*CRC"):
        studyforrest.load_windows(path)
