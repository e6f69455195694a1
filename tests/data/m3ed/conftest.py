"""A small M3ED with every file in its real form, to be bent by the tests."""

import copy
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lddu.data import m3ed

WIDTHS = {"text": 768, "audio": 1024, "vision": 342}
# Dialogue -> per utterance: final_mul_emo, then what the three annotators wrote.
DIALOGUES = {
    "sa_1": [
        ("Happy,Surprise", "Happy", "Happy,Surprise", "Surprise"),
        ("Neutral", "Neutral", "Neutral", "Sad"),
    ],
    "sa_2": [("Anger", "Anger", "Disgust", "Anger")],
    "sb_1": [
        ("Sad", "Sad", "Sad", "Sad"),
        ("Fear,Sad", "Fear", "Sad", "Fear"),
        ("Disgust", "Disgust", "Anger", "Disgust"),
    ],
    "sc_1": [("Neutral", "Neutral", "Neutral", "Neutral")],
    "sc_2": [("Surprise", "Neutral", "Surprise", "Surprise"), ("Happy", "Happy", "Happy", "Sad")],
}
PICKLE = "features.pkl"


@dataclass
class World:
    """The content of all files; change it, then `save`."""

    annotation: dict
    items: list
    lists: dict = field(default_factory=lambda: {"train": ["sa"], "val": ["sb"], "test": ["sc"]})

    def dialog(self, name):
        return self.annotation[name.split("_")[0]][name]["Dialog"]

    def emotions(self, utterance):
        return self.dialog(utterance.rpartition("_")[0])[utterance]["EmoAnnotation"]

    def save(self, folder: Path, annotation=True, lists=True, protocol=4) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PICKLE).write_bytes(pickle.dumps(self.items, protocol))
        if annotation:
            text = json.dumps(self.annotation, ensure_ascii=False)
            (folder / "annotation.json").write_text(text, encoding="utf-8")
        if lists:
            (folder / "splitInfo").mkdir(exist_ok=True)
            for name, series in self.lists.items():
                (folder / f"splitInfo/movie_list_{name}.txt").write_text("\n".join(series))
        return folder


def make_world() -> World:
    rng = np.random.default_rng(0)
    annotation, items = {}, [{} for _ in range(7)]
    for name, utterances in DIALOGUES.items():
        dialog = {}
        for i, (final, *answers) in enumerate(utterances):
            dialog[f"{name}_{i + 1}"] = {
                "StartTime": "00:00:00:142",
                "EndTime": "",
                "Text": "你先把衣服换了",
                "Speaker": "AB"[i % 2],
                "EmoAnnotation": {
                    **{f"EmoAnnotator{k + 1}": answer for k, answer in enumerate(answers)},
                    "final_mul_emo": final,
                    "final_main_emo": final.split(",")[0],
                },
            }
        annotation.setdefault(name[:2], {})[name] = {"SpeakerInfo": {}, "Dialog": dialog}
        mains = [final.split(",")[0].lower() for final, *_ in utterances]
        items[0][name] = [f"{u['Speaker']}_{key}" for key, u in dialog.items()]
        items[1][name] = [u["Speaker"] for u in dialog.values()]
        items[2][name] = [m3ed.LABELS.index(main) for main in mains]
        for item, width in zip(items[3:6], WIDTHS.values(), strict=True):
            item[name] = rng.normal(size=(len(dialog), width)).astype(np.float32)
        items[6][name] = np.array([u["Text"] for u in dialog.values()])
    items += [["sa_1", "sa_2"], ["sb_1"], ["sc_1", "sc_2"]]
    return World(annotation, items)


def make_carat(world: World) -> dict:
    """CARAT's content of a world, audio and visual swapped as its writer does."""
    content = {}
    for split, names in zip(("train", "valid", "test"), world.items[7:], strict=True):
        part = {}
        for key, item in zip(
            ("src-text", "src-visual", "src-audio"), world.items[3:6], strict=True
        ):
            part[key] = np.zeros((len(names), 60, item[names[0]].shape[1]), np.float32)
            for row, name in enumerate(names):
                part[key][row, : len(item[name])] = item[name]
        part["len_list"] = [len(world.items[0][name]) for name in names]
        part["tgt"] = [[2, *sorted({4 + c for c in world.items[2][name]}), 3] for name in names]
        content[split] = part
    return content


def write_torch(path: Path, content) -> Path:
    """What torch.save writes for NumPy's arrays: a zip with a pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, 2))
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    return path


@pytest.fixture(scope="session")
def pristine():
    return make_world()


@pytest.fixture
def world(pristine) -> World:
    """A world of one's own."""
    return copy.deepcopy(pristine)


@pytest.fixture
def carat(world) -> dict:
    return make_carat(world)


@pytest.fixture(scope="session")
def save_torch():
    return write_torch


@pytest.fixture(scope="session")
def hot():
    """Zeros and ones of the named emotions."""

    def make(*names):
        return np.array([label in names for label in m3ed.LABELS], np.float32)

    return make


@pytest.fixture
def load(tmp_path):
    """Loads a world, or a path, without a cache."""

    def run(source, task="dialogue", **options):
        path = source.save(tmp_path / "m3ed", **options) if isinstance(source, World) else source
        return m3ed.load(path, task=task, cache=None, progress=False)

    return run
