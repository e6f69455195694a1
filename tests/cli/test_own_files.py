"""The README's way from files of one's own to predictions and a report, command by command."""

import contextlib
import csv
import io
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lddu import cli

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("joy", "sadness", "anger", "fear", "disgust", "surprise", "calm")
WIDTHS = {"text": 6, "audio": 5, "video": 4}
COUNT = 1500


def write_samples(folder):
    """Writes `COUNT` samples of 100 films as the README describes, by NumPy and csv alone.

    Text is an `.npz` file by id, audio one of values, lengths and ids, and video are `.npy` files,
    which every third sample lacks. Every tenth label is unknown.
    """
    rng = np.random.default_rng(0)
    (folder / "video").mkdir(parents=True)
    labels = rng.random((COUNT, len(LABELS))) < 0.3
    mixing = {name: rng.normal(size=(len(LABELS), width)) for name, width in WIDTHS.items()}

    def sequence(row, name):
        steps = rng.integers(1, 5)
        return (labels[row] @ mixing[name] + rng.normal(size=(steps, WIDTHS[name]))).astype("f4")

    ids = [f"clip-{row:04d}" for row in range(COUNT)]
    np.savez(folder / "text.npz", **{ids[row]: sequence(row, "text") for row in range(COUNT)})
    audio = [sequence(row, "audio") for row in range(COUNT)]
    lengths = [len(x) for x in audio]
    np.savez(folder / "audio.npz", ids=ids, lengths=lengths, values=np.concatenate(audio))
    with (folder / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "group", *LABELS, "video"])
        for row in range(COUNT):
            film = row // 15
            split = ("train", "train", "train", "valid", "test")[film % 5]
            cells = [int(x) for x in labels[row]]
            if row % 10 == 0:
                cells[row % len(LABELS)] = ""
            video = f"video/{row}.npy" if row % 3 else ""
            if video:
                np.save(folder / video, sequence(row, "video"))
            writer.writerow([ids[row], split, f"film {film}", *cells, video])


@pytest.fixture(scope="module")
def walk(tmp_path_factory, short):
    """(folder, command -> what it printed): the README's commands have run on new samples."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Use it on your files")[1].split("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.S)
    folder, printed = tmp_path_factory.mktemp("own"), {}
    write_samples(folder / "mydata")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in block.splitlines():
            words = shlex.split(command)[1:]
            with contextlib.redirect_stdout(io.StringIO()) as text:
                cli.main([*words, *(short if words[0] == "train" else ())])
            printed[" ".join(words[:2])] = text.getvalue()
    return folder, printed


@pytest.fixture(scope="module")
def rows(walk):
    """The rows of the table of predictions."""
    with (walk[0] / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def columns(rows, *names):
    """(N, C) numbers of these columns of each label."""
    return np.array([[float(row[name]) for name in names] for row in rows])


def test_the_data_are_checked(walk):
    printed = walk[1]["data check"]
    assert "train 900, valid 300, test 300 samples, can be trained on" in printed
    assert f"labels: {', '.join(LABELS)}" in printed
    assert "video: 4 features, up to 4 steps, missing in 500 samples" in printed
    assert "groups are in more than one split" not in printed


def test_a_run_folder_is_written(walk):
    folder, printed = walk
    files = {file.name for file in (folder / "runs" / "mine").iterdir()}
    wanted = {"train.json", "card.json", "results.json", "predictions.npz", "report.html"}
    assert wanted <= files
    assert (folder / "runs" / "mine" / "predictor" / "predictor.json").exists()
    for model in ("prior", "lddu", "lddu_calibrated"):
        assert re.search(rf"^{model} ", printed["train mydata"], re.M)


def test_every_sample_is_predicted(rows, walk):
    with (walk[0] / "mydata" / "samples.csv").open(newline="") as file:
        given = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [row["id"] for row in given]
    assert [row["group"] for row in rows] == [row["group"] for row in given]
    for name in LABELS:  # and where a label is unknown, its cell stays empty
        assert [row[name].removesuffix(".0") for row in rows] == [row[name] for row in given]
    probs = columns(rows, *(f"prob_{label}" for label in LABELS))
    assert ((probs > 0) & (probs < 1)).all()
    decided = columns(rows, *(f"decided_{label}" for label in LABELS))
    assert set(np.unique(decided)) <= {0, 1}
    parts = [
        columns(rows, *(f"{part}_{label}" for label in LABELS))
        for part in ("aleatoric", "epistemic")
    ]
    assert all((part >= 0).all() for part in parts)
    np.testing.assert_allclose(parts[0] + parts[1], probs * (1 - probs), rtol=1e-4, atol=1e-6)


def test_a_missing_modality_has_no_weight(rows):
    weights = {
        name: columns(rows, *(f"weight_{label}_{name}" for label in LABELS)) for name in WIDTHS
    }
    missing = np.arange(COUNT) % 3 == 0
    assert (weights["video"][missing] == 0).all()
    assert (weights["video"][~missing] > 0).all()
    assert (weights["text"] > 0).all()
    assert (sum(weights.values()) <= 1 + 1e-4).all()


class Page(HTMLParser):
    """The text of a page, whose tags must be closed in order."""

    EMPTY = ("meta", "link", "br", "hr", "img", "input", "col", "source", "wbr")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_names_every_label_and_is_written_again(walk, monkeypatch):
    monkeypatch.chdir(walk[0])
    first = Path("runs/mine/report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(first)
    page.close()
    assert not page.open
    text = " ".join(page.text)
    assert all(label in text for label in LABELS)
    cli.main(["report", "runs/mine", "--out", "again.html"])
    again = Path("again.html").read_text(encoding="utf-8")
    assert again.replace("again-explorer.html", "report-explorer.html") == first
