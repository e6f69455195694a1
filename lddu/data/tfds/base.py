"""The base of the builders: from a `Dataset` to examples of true length, and back."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm.auto import tqdm

from lddu.data.card import Card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.sequences import from_sequences

# TFDS calls the validation split "validation".
_TFDS_SPLITS = dict(zip(SPLITS, ("train", "validation", "test"), strict=True))


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """The part that all configurations share.

    Attributes:
      widths: Modality -> number of features. TFDS fixes it before a file is read, so that files of
        another width need a configuration of their own.
    """

    widths: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples {"id", "labels", "soft", modality: (T, D) ...}; a missing modality has T = 0."""

    VERSION = tfds.core.Version("1.0.0")
    LABELS: tuple[str, ...] = ()
    HOMEPAGE = ""
    CITATION = ""

    def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
        """Takes the arguments of all TFDS builders; another `file_format` would need TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    def load(self, folder: Path | None) -> Dataset:
        """Reads the data set from the files in `folder`."""
        raise TypeError(f"{type(self).__name__} does not say how to load its data")

    def _info(self) -> tfds.core.DatasetInfo:
        classes = (len(self.LABELS),)
        modalities = {
            name: tfds.features.Tensor(shape=(None, width), dtype=np.float32)
            for name, width in self.builder_config.widths.items()
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "labels": tfds.features.Tensor(shape=classes, dtype=np.float32),
                    "soft": tfds.features.Tensor(shape=classes, dtype=np.float32),
                    **modalities,
                }
            ),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # neighbours in a film stay neighbours
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        folder = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        dataset = self.load(folder)
        self._check_widths(dataset)
        self.info.metadata.update(
            card=dataset.card.to_json(),
            labels=list(dataset.labels),
            soft=dataset.train.soft is not None,
        )
        return {
            _TFDS_SPLITS[name]: self._generate_examples(split)
            for name, split in dataset.splits().items()
        }

    def _generate_examples(self, split: Split) -> Iterator[tuple[str, dict[str, Any]]]:
        labels = np.asarray(split.batch.labels, np.float32)
        soft = labels if split.soft is None else np.asarray(split.soft, np.float32)
        masks = {name: split.batch.effective_mask(name) for name in split.batch.modalities}
        for row, key in enumerate(split.ids):
            steps = {
                name: np.asarray(m.values[row][masks[name][row]], np.float32)
                for name, m in split.batch.modalities.items()
            }
            yield str(key), {"id": str(key), "labels": labels[row], "soft": soft[row], **steps}

    def _check_widths(self, dataset: Dataset) -> None:
        widths = {name: features for name, (features, _) in dataset.shapes().items()}
        if widths != dict(self.builder_config.widths):
            config = self.builder_config
            raise ValueError(
                f"{self.name}/{config.name} is for features {config.widths}, but these files have "
                f"{widths}; pass config={type(config).__name__}(name=..., widths={widths})"
            )


def prepare(builder: Builder, manual_dir: str | os.PathLike | None = None) -> None:
    """Writes the records of a builder, unless they are there already.

    Args:
      builder: A builder of this package.
      manual_dir: Folder with files that users have to obtain themselves; None if there are none.

    Raises:
      FileNotFoundError: If the folder does not exist.
      ValueError: If the loader of the data set refuses the files, or features have other widths.
    """
    if manual_dir is not None and not Path(manual_dir).is_dir():
        raise FileNotFoundError(f"manual_dir {manual_dir} is not a folder")
    options = {} if manual_dir is None else {"manual_dir": Path(manual_dir).absolute()}
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**options))


def read(builder: Builder, progress: bool = True) -> Dataset:
    """Reads all splits of a builder as padded arrays in memory.

    Args:
      builder: A builder that `prepare` was called on.
      progress: Whether to show a progress bar.

    Raises:
      ValueError: If the builder is not prepared.
    """
    metadata = builder.info.metadata
    if "card" not in metadata:
        name = f"{builder.name}/{builder.builder_config.name}"
        raise ValueError(f"{name} is not prepared yet; call prepare(builder)")
    sources = {name: builder.as_data_source(split=_TFDS_SPLITS[name]) for name in SPLITS}
    total = sum(len(source) for source in sources.values())
    with tqdm(total=total, desc=f"reading {builder.name}", disable=not progress) as bar:
        examples = {name: [_example(e, bar) for e in source] for name, source in sources.items()}
    widths = dict(builder.builder_config.widths)
    lengths = {
        modality: max(1, max(len(e[modality]) for part in examples.values() for e in part))
        for modality in widths
    }
    return Dataset(
        **{
            name: _split(part, widths, lengths, metadata["soft"]) for name, part in examples.items()
        },
        labels=tuple(metadata["labels"]),
        card=Card.from_json(metadata["card"]),
    )


def _example(example: dict[str, Any], bar: tqdm) -> dict[str, Any]:
    bar.update()
    return example


def _split(
    examples: list[dict[str, Any]], widths: dict[str, int], lengths: dict[str, int], soft: bool
) -> Split:
    batch = from_sequences(
        {name: [e[name] for e in examples] for name in widths},
        np.stack([e["labels"] for e in examples]),
        features=widths,
        lengths=lengths,
    )
    ids = np.array([e["id"].decode() for e in examples])
    return Split(batch, ids, np.stack([e["soft"] for e in examples]) if soft else None)
