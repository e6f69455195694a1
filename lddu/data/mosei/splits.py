"""The official folds: which videos are in train, valid and test."""

import ast
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lddu.data.dataset import SPLITS

NAMES = ("cmu_mosei_std_folds.py", "folds.json")
_MOST_BYTES = 1 << 24


def read_folds(path: Path) -> dict[str, list[str]]:
    """Reads the folds of a file; Python files are parsed, never run.

    Args:
      path: JSON `{"train": [videos], "valid": [...], "test": [...]}`, or the SDK's
        `cmu_mosei_std_folds.py`, whose literals `standard_train_fold`, `standard_valid_fold` and
        `standard_test_fold` are read.

    Returns:
      Split -> names of its videos, without repetitions.

    Raises:
      ValueError: If a fold is missing or not a list of names, or a video is in two folds.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are too many for a list of videos")
    try:
        text = path.read_text(encoding="utf-8")
        content = _literals(text) if path.suffix == ".py" else json.loads(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    return _checked(content, path)


def _literals(text: str) -> dict[str, Any]:
    wanted = {f"standard_{split}_fold": split for split in SPLITS}
    folds = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in texts of the file, which are not ours
        tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name = getattr(node.targets[0], "id", None)
            if name in wanted:
                folds[wanted[name]] = ast.literal_eval(node.value)
    return folds


def _checked(content: Any, path: Path) -> dict[str, list[str]]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: a {type(content).__name__}, expected train, valid and test")
    for split in SPLITS:
        videos = content.get(split)
        if not isinstance(videos, list) or not all(isinstance(video, str) for video in videos):
            raise ValueError(f"{path}: {split!r} must be a list of video names")
    folds = {split: list(dict.fromkeys(content[split])) for split in SPLITS}
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        both = set(folds[a]) & set(folds[b])
        if both:
            raise ValueError(
                f"{path}: {len(both)} videos are in both {a} and {b}, such as {min(both)!r}"
            )
    return folds
