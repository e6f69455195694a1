"""One data set from several corpora that have different labels and modalities."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lddu.data.batching import concatenate
from lddu.data.card import Findings, make_card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.label_names import in_order
from lddu.structs import Batch, Modality


class Merged(NamedTuple):
    """Rows of several corpora as one batch.

    Attributes:
      batch: The rows of all corpora, in their order, as NumPy arrays; labels are NaN where unknown.
      labels: Names of the C labels.
      corpus: (N,) the corpus of each row, its name or its position; serves as `groups`.
      row: (N,) the position of each row in its corpus.
    """

    batch: Batch
    labels: tuple[str, ...]
    corpus: np.ndarray
    row: np.ndarray


def merge(
    corpora: Mapping[str, tuple[Batch, Sequence[str]]] | Sequence[tuple[Batch, Sequence[str]]],
    labels: Sequence[str] | None = None,
) -> Merged:
    """Joins corpora that annotate different labels or record different modalities.

    A row keeps the labels of its corpus, and any other is unknown (NaN): it takes no part in
    training and in scores. A modality that a corpus does not have is missing from its rows.

    Args:
      corpora: Pairs of a batch and the names of its labels, such as `(split.batch,
        dataset.labels)` for a split of a `lddu.data.dataset.Dataset`. A mapping names the corpora.
        A batch without labels (None) may have any names, also none.
      labels: Names of all labels in the order wanted; others than those of the corpora are unknown
        everywhere. None takes them in the order in which the corpora first name them.

    Returns:
      A `Merged`. Sequences are padded to the longest of a modality; rows of a batch without weights
      weigh 1 where another one has weights.

    Raises:
      ValueError: If there is no corpus, the names of a corpus do not fit its labels, `labels` lacks
        one of them, or a modality has different widths; names the corpora.

    Example:
      >>> import numpy as np
      >>> from lddu.data import from_sequences, merge
      >>> a = from_sequences({"text": [np.ones((2, 4))]}, np.array([[1, 0]]))
      >>> b = from_sequences({"audio": [np.ones((3, 2))]}, np.array([[1, 1]]))
      >>> merged = merge({"a": (a, ["joy", "fear"]), "b": (b, ["fear", "anger"])})
      >>> merged.labels, merged.batch.labels.tolist()
      (('joy', 'fear', 'anger'), [[1.0, 0.0, nan], [nan, 1.0, 1.0]])
      >>> merged.batch.present["audio"].tolist(), merged.corpus.tolist()
      ([False, True], ['a', 'b'])
    """
    named = dict(corpora.items() if isinstance(corpora, Mapping) else enumerate(corpora))
    if not named:
        raise ValueError("corpora is empty; give at least one pair of a batch and its label names")
    for corpus, (batch, names) in named.items():
        _check_names(corpus, batch, names)
    union = _distinct(name for _, names in named.values() for name in names)
    labels = union if labels is None else tuple(labels)
    lacking = [name for name in union if name not in labels]
    if lacking or len(set(labels)) < len(labels):
        raise ValueError(
            f"labels {list(labels)} must name every label of the corpora once, and lacks {lacking}"
        )
    shapes = _shapes({corpus: batch for corpus, (batch, _) in named.items()})
    weighted = any(batch.weight is not None for batch, _ in named.values())
    parts = [_fitted(*pair, labels, shapes, weighted) for pair in named.values()]
    sizes = [part.size for part in parts]
    return Merged(
        concatenate(parts),
        labels,
        np.repeat(list(named), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
    )


def merge_datasets(datasets: Mapping[str, Dataset], labels: Sequence[str] | None = None) -> Dataset:
    """Joins the splits of several data sets as `merge` does, train with train and so on.

    Args:
      datasets: Name of each corpus -> its data set.
      labels: Names of all labels in the order wanted, as in `merge`.

    Returns:
      A `Dataset` whose ids are "corpus/id". It has soft labels if any of the data sets has, hard
      ones standing in for them in the others; its card adds up what was read.

    Raises:
      ValueError: As in `merge`.
    """
    splits = {}
    for split in SPLITS:
        of_split = {corpus: getattr(data, split) for corpus, data in datasets.items()}
        hard, soft = (
            merge({k: (batch(part), datasets[k].labels) for k, part in of_split.items()}, labels)
            for batch in (lambda part: part.batch, Split.soft_batch)
        )
        ids = [f"{corpus}/{i}" for corpus, part in of_split.items() for i in part.ids]
        is_soft = any(part.soft is not None for part in of_split.values())
        splits[split] = Split(hard.batch, np.array(ids), soft.batch.labels if is_soft else None)
    findings = Findings()
    for corpus, data in datasets.items():
        for what, count in data.card.repairs.items():
            findings.repaired(f"{corpus}: {what}", count)
        for what in data.card.warnings:
            findings.warn(f"{corpus}: {what}")
    cards = {corpus: data.card for corpus, data in datasets.items()}
    card = make_card(
        " + ".join(card.name for card in cards.values()),
        "; ".join(f"{corpus}: {card.layout}" for corpus, card in cards.items()),
        "; ".join(f"{corpus}: {card.task}" for corpus, card in cards.items()),
        [source for card in cards.values() for source in card.sources],
        {name: split.batch for name, split in splits.items()},
        hard.labels,
        {},
        findings,
    )
    return Dataset(**splits, labels=hard.labels, card=card)


def _check_names(corpus: str | int, batch: Batch, names: Sequence[str]) -> None:
    """Raises ValueError unless a corpus has as many different names as labels."""
    if len(set(names)) < len(names):
        raise ValueError(f"corpus {corpus!r}: label names {list(names)} are not all different")
    if batch.labels is not None and np.shape(batch.labels) != (batch.size, len(names)):
        raise ValueError(
            f"corpus {corpus!r}: labels have shape {np.shape(batch.labels)}, expected "
            f"({batch.size}, {len(names)}) for {list(names)}"
        )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _shapes(batches: Mapping[str | int, Batch]) -> dict[str, tuple[int, int]]:
    """Returns modality -> (steps of the longest padding, width).

    Raises:
      ValueError: If a modality has different widths; names two corpora.
    """
    found: dict[str, tuple[int, int]] = {}
    source: dict[str, str | int] = {}
    for corpus, batch in batches.items():
        for name, modality in batch.modalities.items():
            steps, width = modality.values.shape[1:]
            longest, expected = found.get(name, (steps, width))
            first = source.setdefault(name, corpus)
            if width != expected:
                raise ValueError(
                    f"modality {name!r}: width {expected} in corpus {first!r}, but {width} in "
                    f"corpus {corpus!r}; extract the same features, or name them differently"
                )
            found[name] = max(longest, steps), width
    return found


def _fitted(
    batch: Batch,
    names: Sequence[str],
    labels: Sequence[str],
    shapes: Mapping[str, tuple[int, int]],
    weighted: bool,
) -> Batch:
    """Returns a batch with the labels, modalities, lengths and weights of the union."""
    size = batch.size
    modalities, present = {}, {}
    for name, (steps, width) in shapes.items():
        values, mask = np.zeros((size, steps, width), np.float32), np.zeros((size, steps), bool)
        present[name] = np.zeros(size, bool)
        if name in batch.modalities:
            length = batch.modalities[name].mask.shape[1]
            values[:, :length] = batch.modalities[name].values
            mask[:, :length] = batch.modalities[name].mask
            present[name] = np.asarray(batch.present[name])
        modalities[name] = Modality(values, mask)
    known = np.full((size, len(labels)), np.nan, np.float32)
    if batch.labels is not None:
        known[:, [labels.index(name) for name in names]] = in_order(batch, names).labels
    weight = None
    if weighted:
        weight = np.ones(size) if batch.weight is None else batch.weight
        weight = np.asarray(weight, np.float32)
    return Batch(modalities, present, known if labels else None, weight, tuple(labels))
