import numpy as np
import pytest

from lddu.data.studyforrest.readers import stimulus

FRAMES = 50  # of each of two segments; the second one begins at frame 40
ONSETS = np.arange(FRAMES) / 25


@pytest.fixture(autouse=True)
def short_film(monkeypatch):
    monkeypatch.setattr(stimulus, "SEGMENT_STARTS", (0.0, 1.6))
    monkeypatch.setattr(stimulus, "FILM_SECONDS", 3.2)


def write(root, kind, columns, segments):
    folder = root / "segments" / "avmovie"
    folder.mkdir(parents=True, exist_ok=True)
    for k, fields in enumerate(segments):
        rows = zip(ONSETS, *fields, strict=True)
        lines = ["\t".join(("onset", "duration", *columns))]
        lines += ["\t".join((f"{t:.2f}", "0.04", *map(str, rest))) for t, *rest in rows]
        (folder / f"conf_{kind}_run-{k + 1}_events.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def film():
    rng = np.random.default_rng(0)
    return {
        "rms": rng.uniform(0, 0.1, (2, FRAMES)),
        "lrdiff": rng.normal(0, 0.01, (2, FRAMES)),
        "brmean": rng.uniform(0, 255, (2, FRAMES)),
        "brlr": rng.normal(0, 90, (2, FRAMES)),
        "brud": rng.normal(0, 90, (2, FRAMES)),
        "norm_diff": rng.uniform(0, 1, (2, FRAMES)),
    }


def on_film_clock(parts):
    """80 frames: 40 of the first segment, then the second from its start."""
    return np.concatenate((parts[0][:40], parts[1][:40]))


def test_audio_steps_by_hand_across_a_segment_border(tmp_path, film):
    write(tmp_path, "audio", ("rms", "lrdiff"), zip(film["rms"], film["lrdiff"], strict=True))
    out = stimulus.audio(tmp_path, np.array([0.0, 1.2]), 0.8)
    assert out.shape == (2, 4, 5)
    assert out.dtype == np.float32
    # Window 1, step 2: film seconds 1.6 to 1.8, the first five frames of the second segment.
    rms, difference = (on_film_clock(film[name])[40:45] for name in ("rms", "lrdiff"))
    np.testing.assert_array_equal(rms, film["rms"][1][:5])
    log = np.log(rms + 1e-5)
    expected = [log.mean(), log.max(), log.std(), difference.mean(), np.abs(difference).mean()]
    np.testing.assert_allclose(out[1, 2], expected, rtol=1e-6)


def test_vision_steps_by_hand(tmp_path, film):
    names = ("brmean", "brlr", "brud", "phash", "norm_diff")
    hashes = [[f"{frame + 100 * k:036x}" for frame in range(FRAMES)] for k in range(2)]
    columns = [[*(film[n][k] for n in names[:3]), hashes[k], film["norm_diff"][k]] for k in (0, 1)]
    write(tmp_path, "visual", names, columns)
    out = stimulus.vision(tmp_path, np.array([0.4, 1.6]), 0.4)
    assert out.shape == (2, 2, 149)
    frames = slice(15, 20)  # window 0, step 1
    expected = [film[n][0][frames].mean() / 128 for n in names[:3]]
    change = film["norm_diff"][0][frames]
    np.testing.assert_allclose(out[0, 1, :5], [*expected, change.mean(), change.max()], rtol=1e-5)

    def number(bits):
        return int("".join(str(int(bit)) for bit in bits), 2)

    assert number(out[0, 1, 5:]) == 15  # the hash of the step's first frame
    assert number(out[1, 0, 5:]) == 100  # the second segment's, although the first one runs on


def edit(path, line, old, new):
    lines = path.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_text("\n".join(lines) + "\n")


def test_damaged_audio_files_are_named(tmp_path, film):
    folder = write(
        tmp_path, "audio", ("rms", "lrdiff"), zip(film["rms"], film["lrdiff"], strict=True)
    )
    path = folder / "conf_audio_run-2_events.tsv"
    whole = path.read_text()

    def fails(message):
        with pytest.raises(ValueError, match=r"conf_audio_run-2_events\.tsv" + message):
            stimulus.audio(tmp_path, np.array([0.0]), 0.8)
        path.write_text(whole)

    path.write_text("".join(whole.splitlines(keepends=True)[:30]))
    fails(r": 29 frames, but the segment needs 40; cut short\?")
    path.write_text(whole[: whole.rindex("\t")] + "\n")
    fails(r", line 51: 3 fields, but the header has 4")
    edit(path, 1, "lrdiff", "balance")
    fails(r", line 1: no column 'lrdiff'")
    edit(path, 4, f"{film['rms'][1][2]}", "loud")
    fails(r", line 4, column 'rms': 'loud' is not a finite number")
    path.write_text("".join(line for i, line in enumerate(whole.splitlines(True)) if i != 5))
    fails(r", line 6, column 'onset': 0\.2, expected 0\.16 for frame 4")


@pytest.mark.parametrize("bad", ["8" * 35, "8" * 35 + "g", " " + "8" * 35])
def test_a_damaged_hash_is_named(tmp_path, bad):
    flat = [np.zeros(FRAMES)] * 3
    hashes = ["8" * 36] * FRAMES
    names = ("brmean", "brlr", "brud", "phash", "norm_diff")
    segments = [[*flat, hashes, flat[0]], [*flat, [hashes[0], bad, *hashes[2:]], flat[0]]]
    write(tmp_path, "visual", names, segments)
    with pytest.raises(ValueError, match=r"visual_run-2_events\.tsv, line 3, column 'phash'"):
        stimulus.vision(tmp_path, np.array([0.0]), 0.8)
