"""The data card: what was read, beside what was published, and everything that was repaired."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from tqdm.auto import tqdm

from lddu.files import parse_json
from lddu.structs import Batch


class Findings:
    """What a loader repairs, drops or doubts: filled while it reads, kept on the card.

    Attributes:
      repairs: What was done -> number of values or rows that it was done to.
      warnings: Sentences about what differs from what was published or declared.
    """

    def __init__(self):
        self.repairs: dict[str, int] = {}
        self.warnings: list[str] = []

    def repaired(self, what: str, count: int) -> None:
        """Adds to the count of a repair; a count of 0 leaves no trace."""
        if count:
            self.repairs[what] = self.repairs.get(what, 0) + int(count)

    def warn(self, what: str) -> None:
        """Notes a mismatch; the same sentence is kept once."""
        if what not in self.warnings:
            self.warnings.append(what)


@dataclasses.dataclass(frozen=True)
class Source:
    """A file that was read.

    Attributes:
      file: Name of the file.
      bytes: Size in bytes.
      sha256: SHA-256 in hexadecimal.
      known_as: Name of the published file with this checksum; None if lddu knows none.
    """

    file: str
    bytes: int
    sha256: str
    known_as: str | None = None


class ModalityFacts(TypedDict):
    """One modality of a split: its width, padded steps, true lengths, and samples without it."""

    features: int
    steps: int
    min: int
    median: float
    max: int
    missing: int


class SplitFacts(TypedDict):
    """One split: numbers of samples, of positives per label, and of samples without a label."""

    samples: int
    published: int | None
    positives: dict[str, int]
    unknown: NotRequired[dict[str, int]]
    empty: int
    labels_per_sample: float
    modalities: dict[str, ModalityFacts]


@dataclasses.dataclass(frozen=True)
class Card:
    """A description of a loaded data set.

    Attributes:
      name: Name of the data set.
      layout: The file layout that it was read from.
      task: What one sample and its labels are.
      sources: The files that were read.
      splits: split -> {"samples", "published" (or None), "positives": {label: count}, "unknown":
        {label: count}, "empty" (samples known to have no label), "labels_per_sample" (known ones),
        "modalities": {name: {"features", "steps" (padded), "min", "median", "max" (true lengths
        where present), "missing" (samples)}}}.
      repairs: What was repaired or dropped -> how often.
      warnings: Mismatches, in plain sentences.
    """

    name: str
    layout: str
    task: str
    sources: tuple[Source, ...]
    splits: Mapping[str, SplitFacts]
    repairs: Mapping[str, int]
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """Returns JSON text that `from_json` reads back to an equal card."""
        # ASCII, since names from damaged files may have characters that UTF-8 cannot encode.
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Reads a card from the text of `to_json`.

        Raises:
          ValueError: If it is the text of anything else; names the field.
        """
        return parse_json(text, cls)

    def to_text(self) -> str:
        """Returns the card for people to read, one fact a line."""
        lines = [f"{self.name}: {self.layout}", f"task: {self.task}"]
        has_published = any(split["published"] is not None for split in self.splits.values())
        for source in self.sources:
            unknown = "no published file that lddu knows" if has_published else ""
            known = f"  ({text})" if (text := source.known_as or unknown) else ""
            lines.append(f"  {source.file}  {source.bytes:,} bytes  {source.sha256}{known}")
        for name, split in self.splits.items():
            published = split["published"]
            against = "" if published is None else f" (published: {published:,})"
            lines.append(
                f"{name}: {split['samples']:,} samples{against}, {split['empty']:,} with none "
                f"of the labels, {split['labels_per_sample']:.2f} labels per sample"
            )
            unknown = {name: n for name, n in split.get("unknown", {}).items() if n}
            share = {
                label: f"{label} {n} ({n / max(split['samples'] - unknown.get(label, 0), 1):.1%})"
                for label, n in split["positives"].items()
            }
            lines.append(f"  positives: {', '.join(share.values())}")
            if unknown:
                lines.append(f"  unknown: {', '.join(f'{k} {n}' for k, n in unknown.items())}")
            for modality, m in split["modalities"].items():
                lines.append(
                    f"  {modality}: {m['features']} features, true steps {m['min']} to {m['max']} "
                    f"(median {m['median']:g}, padded to {m['steps']}), missing in {m['missing']}"
                )
        lines += [f"repaired: {what}: {count:,}" for what, count in self.repairs.items()]
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def make_card(
    name: str,
    layout: str,
    task: str,
    sources: Sequence[Source],
    splits: Mapping[str, Batch],
    labels: Sequence[str],
    published: Mapping[str, int],
    findings: Findings,
    tolerance: float = 0.0,
) -> Card:
    """Describes labelled batches; a count that differs from the published one becomes a warning.

    Args:
      name: Name of the data set.
      layout: The file layout that it was read from.
      task: What one sample and its labels are.
      sources: The files that were read.
      splits: split -> samples with labels.
      labels: Names of the C labels.
      published: split -> number of samples published, for the splits where it is known.
      findings: What was repaired; the warnings of the card are added to it.
      tolerance: Share of the published count by which a count may differ without a warning.

    Returns:
      The card.
    """
    described = {split: _describe(batch, labels) for split, batch in splits.items()}
    for split, facts in described.items():
        facts["published"] = published.get(split)
        known = facts["published"]
        if known is not None and abs(facts["samples"] - known) > tolerance * known:
            findings.warn(f"{split} has {facts['samples']:,} samples, but {known:,} were published")
        for label, count in facts["positives"].items():
            known = facts["samples"] - facts["unknown"][label]
            if count in (0, known):
                found = "always" if count else "never" if known else "not known to be"
                findings.warn(f"{split}: label {label!r} is {found} present")
    return Card(
        name,
        layout,
        task,
        tuple(sources),
        described,
        dict(findings.repairs),
        tuple(findings.warnings),
    )


def _describe(batch: Batch, labels: Sequence[str]) -> SplitFacts:
    unknown = np.isnan(np.asarray(batch.labels, float))
    present = np.asarray(batch.labels) >= 0.5  # False where unknown
    modalities = {}
    for name, modality in batch.modalities.items():
        lengths = np.asarray(batch.effective_mask(name)).sum(1)
        here = lengths[lengths > 0] if lengths.any() else np.zeros(1, int)
        modalities[name] = {
            "features": modality.values.shape[-1],
            "steps": modality.values.shape[1],
            "min": int(here.min()),
            "median": float(np.median(here)),
            "max": int(here.max()),
            "missing": int((lengths == 0).sum()),
        }
    return {
        "samples": len(present),
        "published": None,
        "positives": {label: int(n) for label, n in zip(labels, present.sum(0), strict=True)},
        "unknown": {label: int(n) for label, n in zip(labels, unknown.sum(0), strict=True)},
        "empty": int((~(present | unknown).any(1)).sum()),
        "labels_per_sample": float(present.sum() / max(len(present), 1)),
        "modalities": modalities,
    }


def read_source(
    path: Path, known: Mapping[str, str] | None = None, progress: bool = True
) -> Source:
    """Reads size and SHA-256 of a file, with a progress bar if it is large.

    Args:
      path: The file.
      known: SHA-256 -> name of the published file that has it.
      progress: Whether to show the bar.

    Returns:
      The description of the file.
    """
    digest, size = hashlib.sha256(), path.stat().st_size
    bar = tqdm(
        total=size,
        desc=f"SHA-256 of {path.name}",
        unit="B",
        unit_scale=True,
        disable=not progress or size < 1 << 28,
    )
    with path.open("rb") as file, bar:
        while block := file.read(1 << 22):
            digest.update(block)
            bar.update(len(block))
    sha256 = digest.hexdigest()
    return Source(path.name, size, sha256, (known or {}).get(sha256))
