"""`lddu data`: describes, checks and splits a data set in the open format."""

from lddu.cli.arguments import Data, Out, Table


def card(data: Data, json: bool = False) -> None:
    """Describes a data set: samples, labels, modalities, what was repaired.

    Example: lddu data card mydata

    Args:
      data: Folder or table in the open format (docs/data.md).
      json: Whether to print JSON.
    """
    from lddu.cli.datasets import load

    made = load(data).card
    print(made.to_json() if json else made.to_text())


def check(data: Data) -> None:
    """Reads a data set, and says what it is, and what is wrong with it or that nothing is.

    Example: lddu data check mydata

    Args:
      data: Folder or table in the open format (docs/data.md).
    """
    from lddu.cli.datasets import load

    loaded = load(data)
    made = loaded.card
    print(f"labels: {', '.join(loaded.labels)}")
    for name, (features, steps) in loaded.shapes().items():
        missing = sum(split["modalities"][name]["missing"] for split in made.splits.values())
        print(f"{name}: {features} features, up to {steps} steps, missing in {missing:,} samples")
    counts = ", ".join(f"{name} {split['samples']:,}" for name, split in made.splits.items())
    for what, count in made.repairs.items():
        print(f"repaired: {what}: {count:,}")
    for warning in made.warnings:
        print(f"WARNING: {warning}")
    print(f"{data}: {counts} samples, can be trained on")


def split(
    table: Table,
    out: Out,
    valid: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> None:
    """Writes a table again with a column `split`: by group, with labels spread evenly.

    Example: lddu data split mydata/all.csv -o mydata/samples.csv

    Args:
      table: A table in the open format without the column `split`.
      out: The table to write, beside the first one, since both name the same files.
      valid: Share of the samples for validation.
      test: Share of the samples for test.
      seed: Seed of the split.
    """
    from lddu.data.tables.dividing import split_file

    counts = split_file(table, out, (1 - valid - test, valid, test), seed)
    print(f"{out}: {', '.join(f'{name} {count:,}' for name, count in counts.items())} samples")
    print(f"To train on it: lddu train {out}")
