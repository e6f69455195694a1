"""From files to `Batch`: padding, checks, normalisation, and the data sets."""

from lddu.data.batching import check_batch, concatenate, from_sequences, order, pad, take
from lddu.data.merging import Merged, merge, merge_datasets
from lddu.data.normalize import Normalizer, fit_normalizer, normalize

__all__ = [
    "Merged",
    "Normalizer",
    "check_batch",
    "concatenate",
    "fit_normalizer",
    "from_sequences",
    "merge",
    "merge_datasets",
    "normalize",
    "order",
    "pad",
    "take",
]
