"""The seven emotions: their coding, and how annotation files spell them."""

import re
from typing import Any

import numpy as np

# The authors' coding, 0 to 6.
LABELS = ("happy", "neutral", "sad", "disgust", "anger", "fear", "surprise")
# What an annotator could write who had no answer.
_NOT_SURE = "notsure"
_SEPARATORS = re.compile(r"[,，、;；/|]")


def code_of(word: str, where: str) -> int | None:
    """The code of an emotion word; None for "NotSure".

    Raises:
      ValueError: If it is no emotion of M3ED, naming `where`.
    """
    word = re.sub(r"[\s_]", "", word).lower()
    if word == _NOT_SURE:
        return None
    if word not in LABELS:
        raise ValueError(f"{where}: unknown emotion {word!r:.60}, expected {', '.join(LABELS)}")
    return LABELS.index(word)


def codes_of(field: Any, where: str) -> set[int]:
    """The codes in a field such as "Happy,Surprise"; none of an empty one.

    Raises:
      ValueError: If the field is neither text, a list of text nor None, or holds another word.
    """
    if field is None:
        return set()
    parts = field if isinstance(field, list) else [field]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{where}: {field!r:.60} is no text, expected emotion words")
    words = [word for part in parts for word in _SEPARATORS.split(part) if word.strip()]
    return {code for word in words if (code := code_of(word, where)) is not None}


def multi_hot(codes: set[int]) -> np.ndarray:
    """(7,) float32 with ones at the codes."""
    hot = np.zeros(len(LABELS), np.float32)
    hot[list(codes)] = 1.0
    return hot


def label_codes(label: Any, where: str) -> set[int]:
    """The codes of an utterance's label in a feature pickle: a code, a word, or a list of them.

    Raises:
      ValueError: If it is something else, or names an emotion twice (as zeros and ones would).
    """
    if isinstance(label, np.ndarray):
        label = label.tolist()
    if isinstance(label, str):
        return codes_of(label, where)
    if isinstance(label, list | tuple):
        found = [code for one in label for code in _single(one, where)]
        if len(set(found)) < len(found):
            raise ValueError(f"{where}: {label!r:.60} names an emotion twice; expected codes 0..6")
        return set(found)
    return _single(label, where)


def _single(label: Any, where: str) -> set[int]:
    if isinstance(label, str):
        return codes_of(label, where)
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
    if not whole or not 0 <= label < len(LABELS):
        raise ValueError(f"{where}: label {label!r:.60}, expected a code 0..6 or an emotion word")
    return {int(label)}
