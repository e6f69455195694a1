"""Word vectors from text: the type of such functions, and one that needs no other package."""

import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

TextFeatures = Callable[[Sequence[str]], list[np.ndarray]]
"""From sentences to one (words, D) float array per sentence; words are what whitespace separates.

A sentence without words gives a (0, D) array.
"""


def hashed_words(dim: int = 96, shortest: int = 3, longest: int = 5) -> TextFeatures:
    """Signed feature hashing of each word's character n-grams and of the word itself.

    Words that share stems or endings get similar vectors, unrelated words nearly orthogonal ones.
    Deterministic across machines and runs (Python's own `hash` of a string is not), blind to case.

    Args:
      dim: Width D of the vectors.
      shortest: Length of the shortest n-grams, with `<` and `>` marking the ends of the word.
      longest: Length of the longest.

    Returns:
      A function from sentences to (words, dim) float32 arrays with rows of length 1 (or, rarely,
      zero: when the features of a word cancel each other out).

    Raises:
      ValueError: If `dim` is not positive or not 1 <= shortest <= longest.

    References:
      Weinberger et al., Feature hashing, 2009, https://arxiv.org/abs/0902.2206.
      Bojanowski et al., Subword information, 2017, https://arxiv.org/abs/1607.04606.
    """
    if dim < 1:
        raise ValueError(f"hashed_words: dim={dim} is not at least 1")
    if not 1 <= shortest <= longest:
        raise ValueError(f"hashed_words: need 1 <= shortest <= longest, got {shortest}, {longest}")

    @functools.cache
    def vector(word: str) -> np.ndarray:
        marked = f"<{word}>"
        # The tab keeps the whole word apart from the n-gram with the same letters.
        features = [f"\t{word}"] + [
            marked[i : i + n]
            for n in range(shortest, longest + 1)
            for i in range(len(marked) - n + 1)
        ]
        out = np.zeros(dim, np.float32)
        for feature in features:
            digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
            code = int.from_bytes(digest, "little")
            out[(code >> 1) % dim] += 1.0 if code & 1 else -1.0
        # Sums of signs: a vector shorter than 1 is zero, and stays so.
        return out / max(float(np.linalg.norm(out)), 1.0)

    def features_of(sentences: Sequence[str]) -> list[np.ndarray]:
        return [
            np.array([vector(word) for word in s.lower().split()], np.float32).reshape(-1, dim)
            for s in sentences
        ]

    return features_of
