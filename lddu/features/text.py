"""Word vectors from text: the type of such functions, and one that needs no other package."""

import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

TextFeatures = Callable[[Sequence[str]], list[np.ndarray]]
"""From sentences to one (words, D) float array per sentence; whitespace separates words.

A sentence without words gives a (0, D) array.
"""


def hashed_words(dim: int = 96, shortest: int = 3, longest: int = 5) -> TextFeatures:
    """Returns a function that hashes the character n-grams of each word, and the word, with signs.

    Words that share stems or endings get similar vectors, unrelated words nearly orthogonal ones.
    The vectors are the same on all machines and in all runs, and ignore case.

    Args:
      dim: Width D of the vectors.
      shortest: Length of the shortest n-grams, with `<` and `>` marking the ends of the word.
      longest: Length of the longest n-grams.

    Returns:
      A function from sentences to (words, dim) float32 arrays whose rows have length 1, or rarely
      0, if the features of a word cancel each other out.

    Raises:
      ValueError: If `dim` is not positive, or not 1 <= shortest <= longest.

    Example:
      >>> from lddu.features.text import hashed_words
      >>> words, nothing = hashed_words(dim=8)(["Run Forrest run", ""])
      >>> words.shape, nothing.shape, bool((words[0] == words[2]).all())
      ((3, 8), (0, 8), True)

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
        # The tab tells the whole word from an n-gram with the same letters.
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
        # The entries are sums of signs, so that a vector shorter than 1 is zero.
        return out / max(float(np.linalg.norm(out)), 1.0)

    def features_of(sentences: Sequence[str]) -> list[np.ndarray]:
        return [
            np.array([vector(word) for word in s.lower().split()], np.float32).reshape(-1, dim)
            for s in sentences
        ]

    return features_of
