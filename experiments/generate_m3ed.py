"""Random files in the form of M3ED's, to try the loader and the experiments without the real ones.

    python experiments/generate_m3ed.py --out runs/m3ed_random

Nothing in them is M3ED's: emotions follow a chain with inertia, features are a little signal in
much noise, and three annotators disagree. `--layout pickle` writes annotation.json, splitInfo/ and
the authors' feature pickle; `--layout carat` writes CARAT's m3ed_data_60.pt, with audio and visual
under each other's names as there.
"""

import dataclasses
import json
import pickle
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

LABELS = ("Happy", "Neutral", "Sad", "Disgust", "Anger", "Fear", "Surprise")
SHARES = np.array([0.09, 0.41, 0.16, 0.06, 0.21, 0.02, 0.05])  # about those of M3ED
WIDTHS = {"text": 768, "speech": 1024, "vision": 342}
PICKLE = (
    "Asent_wav2vec_zh2chmed2e5last-Vsent_avg_affectdenseface-"
    "Lsent_cls_robert_wwm_base_chinese4chmed.pkl"
)
STEPS = 60


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      dialogues: How many; M3ED has 990.
      seed: Of the random numbers.
      layout: Which files to write.
      out: Folder for them.
    """

    dialogues: int = 60
    seed: int = 0
    layout: Literal["pickle", "carat"] = "pickle"
    out: Path = Path("runs/m3ed_random")


def main(args: Args) -> None:
    """Writes the files."""
    if args.dialogues < 3:
        raise SystemExit("--dialogues has to be at least 3, one for each split")
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    # ---- dialogues ------------------------------------------------------------------------------
    series = max(3, min(args.dialogues, args.dialogues // 6))
    names = [f"series{i}_{1 + k}" for i in range(series) for k in range(args.dialogues)]
    names = sorted(names, key=lambda name: int(name.split("_")[1]))[: args.dialogues]
    directions = {m: rng.standard_normal((len(LABELS), width)) for m, width in WIDTHS.items()}
    annotation: dict[str, dict] = {}
    items: list = [{} for _ in range(7)]
    for name in names:
        utterances = annotate(name, chain(rng), rng)
        annotation.setdefault(name.split("_")[0], {})[name] = {
            "SpeakerInfo": {s: {"Name": s, "Age": "mid", "Gender": "female"} for s in "AB"},
            "Dialog": utterances,
        }
        emotions = [u["EmoAnnotation"] for u in utterances.values()]
        named = np.array(
            [[label in e["final_mul_emo"].split(",") for label in LABELS] for e in emotions]
        )
        items[0][name] = [f"{u['Speaker']}_{i}" for i, u in utterances.items()]
        items[1][name] = [u["Speaker"] for u in utterances.values()]
        items[2][name] = [LABELS.index(e["final_main_emo"]) for e in emotions]
        for item, (modality, table) in zip(items[3:6], directions.items(), strict=True):
            item[name] = features(named, table, rng, faceless=modality == "vision")
        items[6][name] = np.array([u["Text"] for u in utterances.values()])

    # ---- splits ---------------------------------------------------------------------------------
    order = list(annotation)
    train, valid = round(series * 38 / 56), max(1, round(series * 7 / 56))
    train = min(train, series - valid - 1)
    parts = (order[:train], order[train : train + valid], order[train + valid :])
    splits = [[name for name in names if name.split("_")[0] in part] for part in parts]

    # ---- files ----------------------------------------------------------------------------------
    if args.layout == "carat":
        write_carat(args.out / "m3ed_data_60.pt", items, splits)
    else:
        text = json.dumps(annotation, ensure_ascii=False, indent=1)
        (args.out / "annotation.json").write_text(text, encoding="utf-8")
        (args.out / "splitInfo").mkdir(exist_ok=True)
        for part, members in zip(("train", "val", "test"), parts, strict=True):
            (args.out / "splitInfo" / f"movie_list_{part}.txt").write_text("\n".join(members))
        (args.out / PICKLE).write_bytes(pickle.dumps([*items, *splits]))
    counts = ", ".join(str(len(split)) for split in splits)
    print(f"{args.out}: {args.dialogues} random dialogues of {series} series ({counts})")


def chain(rng: np.random.Generator) -> np.ndarray:
    """(n,) emotions: each is the one before, or new."""
    count = int(min(rng.geometric(1 / 18) + 3, 90))
    shares = rng.dirichlet(4 * SHARES + 0.05)
    fresh = rng.choice(len(LABELS), size=count, p=shares)
    keep = rng.random(count) < 0.55
    for i in np.flatnonzero(keep[1:]) + 1:
        fresh[i] = fresh[i - 1]
    return fresh


def annotate(name: str, emotions: np.ndarray, rng: np.random.Generator) -> dict[str, dict]:
    """Utterances as in annotation.json, with what three annotators made of the emotions."""
    utterances = {}
    for i, emotion in enumerate(emotions):
        answers = []
        for _ in range(3):
            seen = emotion if rng.random() < 0.75 else rng.choice(len(LABELS), p=SHARES)
            also = rng.choice(len(LABELS), p=SHARES)
            answers.append([seen, also] if rng.random() < 0.15 and also != seen else [seen])
        votes = np.bincount(np.concatenate(answers), minlength=len(LABELS))
        # The first emotion of two annotators or more; a fourth one settles the rest.
        main = votes.argmax() if votes.max() > 1 else emotion
        agreed = [main, *(e for e in np.flatnonzero(votes > 1) if e != main)]
        words = [",".join(LABELS[e] for e in answer) for answer in (*answers, agreed)]
        utterances[f"{name}_{i + 1}"] = {
            "StartTime": f"00:{i // 20:02}:{3 * i % 60:02}:00",
            "EndTime": f"00:{i // 20:02}:{3 * i % 60 + 2:02}:24",
            "Text": f"第{i + 1}句话",
            "Speaker": "AB"[rng.integers(2) if i else 0],
            "EmoAnnotation": {
                **{f"EmoAnnotator{k + 1}": words[k] for k in range(3)},
                "final_mul_emo": words[3],
                "final_main_emo": LABELS[main],
            },
        }
    return utterances


def features(
    named: np.ndarray, directions: np.ndarray, rng: np.random.Generator, faceless: bool
) -> np.ndarray:
    """(n, D) float32: the directions of the named emotions in noise; no face is a zero vector."""
    noise = rng.standard_normal((len(named), directions.shape[1]))
    values = 0.15 * (named @ directions) + noise
    if faceless:
        values[rng.random(len(named)) < 0.05] = 0
    return values.astype(np.float32)


def write_carat(path: Path, items: list, splits: list[list[str]]) -> None:
    """CARAT's file: a zip that holds a pickle, as torch.save writes it for NumPy's arrays."""
    content = {}
    for split, members in zip(("train", "valid", "test"), splits, strict=True):
        part = {}
        # Its writer takes speech for visual and vision for audio.
        for key, item in zip(("src-text", "src-visual", "src-audio"), items[3:6], strict=True):
            part[key] = np.zeros((len(members), STEPS, item[members[0]].shape[1]), np.float32)
            for row, name in enumerate(members):
                rows = item[name][:STEPS]
                part[key][row, : len(rows)] = rows
        part["len_list"] = [min(len(items[0][name]), STEPS) for name in members]
        part["tgt"] = [[2, *(4 + e for e in sorted(set(items[2][name]))), 3] for name in members]
        content[split] = part
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickle.dumps(content, 2))
        archive.writestr(f"{path.stem}/version", b"3\n")
        archive.writestr(f"{path.stem}/byteorder", b"little")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
