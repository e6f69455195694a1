"""From a table and its declaration to a `Dataset`."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from lddu.data.card import Findings, Source, make_card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.tables.declaration import Declaration
from lddu.data.tables.detection import complete
from lddu.data.tables.features import read_features
from lddu.data.tables.labels import read_labels
from lddu.data.tables.ragged import Ragged, padded
from lddu.data.tables.reserved import groups_of, ids_of, weight_of
from lddu.data.tables.splitting import split as assign
from lddu.data.tables.table import Table, texts
from lddu.structs import Batch

ALIASES = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("validation", "val", "dev"), "valid"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How a table is read, whatever it is.

    Attributes:
      steps: Longest sequence wanted, for all modalities or by name; further steps are cut and
        counted on the card. None keeps all.
      shares: Shares of train, valid and test, for a table without splits.
      seed: Seed of that division.
      progress: Whether to show progress bars.
    """

    steps: int | Mapping[str, int] | None = None
    shares: Sequence[float] | None = None
    seed: int = 0
    progress: bool = True


def build(
    table: Table, declaration: Declaration, options: Options, sources: Sequence[Source] = ()
) -> Dataset:
    """Reads a table into the three splits.

    Args:
      table: The table.
      declaration: What its columns are; what it leaves open is detected.
      options: How to read it.
      sources: Files that were read so far.

    Returns:
      The data set.

    Raises:
      ImportError: If the package for a file is not installed.
      ValueError: If anything does not fit, naming file, row and column.
    """
    findings = Findings()
    table = dataclasses.replace(table, ids=ids_of(table, declaration.id or "id"))
    declaration = complete(table, declaration)
    names, soft, hard = read_labels(table, declaration)
    groups, weight = groups_of(table, declaration.group), weight_of(table, declaration.weight)
    splits = _splits(table, declaration.split, soft, groups, options)
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    _check_training(table, names, soft[rows["train"]])
    features, files = {}, list(sources)
    for name, source in declaration.modalities.items():
        features[name], read = read_features(table, name, source, findings, options.progress)
        files += read
    is_soft = not (np.isin(soft, (0, 1)) | np.isnan(soft)).all() or bool(declaration.hard)
    ids = np.array(table.ids)
    made = {
        name: Split(
            batch_of(features, name, chosen, hard, weight, findings, options.steps),
            ids[chosen],
            soft[chosen] if is_soft else None,
            None if groups is None else groups[chosen],
        )
        for name, chosen in rows.items()
    }
    _warn(made, names, findings)
    card = make_card(
        declaration.name or os.path.splitext(table.name)[0],
        f"a table with {', '.join(features)}",
        _task(soft, is_soft, groups, options),
        files,
        {name: part.batch for name, part in made.items()},
        names,
        {},
        findings,
    )
    return Dataset(*made.values(), labels=names, card=card)


def _splits(
    table: Table,
    column: str | None,
    soft: np.ndarray,
    groups: np.ndarray | None,
    options: Options,
) -> np.ndarray:
    """Returns (N,) the split of each row: as its column says, or divided by shares."""
    column = column or "split"
    if options.shares is not None:
        if column in table.columns:
            raise ValueError(f"{table.name} has splits in column {column!r}; leave out shares=")
        return assign(soft, groups, shares=options.shares, seed=options.seed)
    if column not in table.columns:
        raise ValueError(
            f"{table.name} has no column {column!r}, which says train, valid or test for each row; "
            "add it (lddu.data.split divides rows), or pass shares=(0.8, 0.1, 0.1)"
        )
    cells = [cell.strip() for cell in texts(table, column)]
    for row, cell in enumerate(cells):
        if cell not in ALIASES:
            raise ValueError(
                f"{table.where(row, column)}: unknown split {cell!r:.80}, expected one of "
                f"{', '.join(ALIASES)}"
            )
    splits = np.array([ALIASES[cell] for cell in cells])
    for name in SPLITS:
        if name not in splits:
            raise ValueError(
                f"{table.name}, column {column!r}: no row is in {name!r}; lddu.data.split divides "
                "rows into train, valid and test"
            )
    return splits


def _check_training(table: Table, names: Sequence[str], labels: np.ndarray) -> None:
    for name, values in zip(names, labels.T, strict=True):
        if np.isnan(values).all():
            raise ValueError(
                f"{table.name}: label {name!r} is empty in every row of the training split"
            )


def batch_of(
    features: Mapping[str, Ragged],
    split: str,
    rows: np.ndarray,
    hard: np.ndarray | None,
    weight: np.ndarray | None,
    findings: Findings,
    steps: int | Mapping[str, int] | None,
) -> Batch:
    """Returns the chosen rows as a batch.

    Args:
      features: Modality -> sequences of all rows.
      split: What findings and errors call the rows.
      rows: (n,) numbers of the rows.
      hard: (N, C) labels of all rows, or None.
      weight: (N,) weights of all rows, or None.
      findings: Collects what is cut or repaired.
      steps: Longest sequence wanted, for all modalities or by name; None keeps all steps.
    """
    modalities = {}
    for name, ragged in features.items():
        longest = steps.get(name) if isinstance(steps, Mapping) else steps
        modalities[name] = padded(ragged, rows, f"{split}, {name}", findings, longest)
    present = {name: m.mask.any(1) for name, m in modalities.items()}
    labels, weight = (None if x is None else x[rows] for x in (hard, weight))
    return Batch(modalities, present, labels, weight)


def _warn(splits: Mapping[str, Split], names: Sequence[str], findings: Findings) -> None:
    """Notes groups that are in two splits, unknown labels, and rows without any modality."""
    for split, part in splits.items():
        unknown = np.isnan(part.batch.labels).sum(0)
        for name, count in zip(names, unknown, strict=True):
            if count:
                findings.warn(f"{split}: label {name!r} is unknown in {count:,} rows")
        lost = int((~np.stack(list(part.batch.present.values())).any(0)).sum())
        if lost:
            findings.warn(f"{split}: {lost:,} rows have no modality at all")
    owners = collections.defaultdict(set)
    for split, part in splits.items():
        for group in () if part.groups is None else np.unique(part.groups):
            owners[str(group)].add(split)
    shared = sorted(group for group, where in owners.items() if len(where) > 1)
    if shared:
        where = " and ".join(name for name in SPLITS if name in owners[shared[0]])
        findings.warn(
            f"{len(shared):,} groups are in more than one split, such as {shared[0]!r} in {where}: "
            "scores on them are too good"
        )


def _task(soft: np.ndarray, is_soft: bool, groups: np.ndarray | None, options: Options) -> str:
    parts = ["one sample = one row", "soft labels" if is_soft else "hard labels"]
    if groups is not None:
        parts.append(f"{len(np.unique(groups)):,} groups")
    if options.shares is not None:
        parts.append(
            f"divided by lddu.data.split, shares {list(options.shares)}, seed {options.seed}"
        )
    return "; ".join(parts)
