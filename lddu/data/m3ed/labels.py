"""The seven emotions: their codes, and how annotation files spell them."""

import re
from typing import Any

import numpy as np

# The authors' coding, 0 to 6.
LABELS = ("happy", "neutral", "sad", "disgust", "anger", "fear", "surprise")
# Annotators write this when they have no answer.
_NOT_SURE = "notsure"
_SEPARATORS = re.compile(r"[,，、;；/|]")


def code_of(word: str, where: str) -> int | None:
    """Returns the code of an emotion word; None for "NotSure".

    Raises:
      ValueError: If M3ED does not have this emotion, naming `where`.
    """
    word = re.sub(r"[\s_]", "", word).lower()
    if word == _NOT_SURE:
        return None
    if word not in LABELS:
        raise ValueError(f"{where}: unknown emotion {word!r:.60}, expected {', '.join(LABELS)}")
    return LABELS.index(word)


def codes_of(field: Any, where: str) -> set[int]:
    """Returns the codes in a field such as "Happy,Surprise"; an empty field or None has none.

    Raises:
      ValueError: If the field is neither text, a list of text nor None, or has another word.
    """
    if field is None:
        return set()
    parts = field if isinstance(field, list) else [field]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{where}: {field!r:.60} is not text, expected emotion words")
    words = [word for part in parts for word in _SEPARATORS.split(part) if word.strip()]
    return {code for word in words if (code := code_of(word, where)) is not None}


def multi_hot(codes: set[int]) -> np.ndarray:
    """Returns (7,) float32 with ones at the codes."""
    hot = np.zeros(len(LABELS), np.float32)
    hot[list(codes)] = 1.0
    return hot


def label_codes(label: Any, where: str) -> set[int]:
    """Reads an utterance's label in a feature pickle: a code, a word, or a list of them.

    Returns:
      The codes.

    Raises:
      ValueError: If it is something else, or names an emotion twice, as a row of zeros and ones
        would.
    """
    if isinstance(label, np.ndarray):
        label = label.tolist()
    if isinstance(label, str):
        return codes_of(label, where)
    if isinstance(label, list | tuple):
        codes = [code for one in label for code in _single(one, where)]
        if len(set(codes)) < len(codes):
            raise ValueError(f"{where}: {label!r:.60} names an emotion twice; expected codes 0..6")
        return set(codes)
    return _single(label, where)


def _single(label: Any, where: str) -> set[int]:
    if isinstance(label, str):
        return codes_of(label, where)
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
    if not whole or not 0 <= label < len(LABELS):
        raise ValueError(f"{where}: label {label!r:.60}, expected a code 0..6 or an emotion word")
    return {int(label)}
