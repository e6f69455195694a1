"""From files to `Batch`: padding, checks, normalisation, and the data sets."""

from lddu.data.adapting import adapt
from lddu.data.batching import check_batch, concatenate, order, take
from lddu.data.encoding import encode_labels
from lddu.data.merging import Merged, merge, merge_datasets
from lddu.data.normalize import Normalizer, fit_normalizer, normalize
from lddu.data.sequences import from_sequences, pad
from lddu.data.tables import (
    from_frame,
    from_huggingface,
    load_table,
    split,
    stream,
    write_table,
)

__all__ = [
    "Merged",
    "Normalizer",
    "adapt",
    "check_batch",
    "concatenate",
    "encode_labels",
    "fit_normalizer",
    "from_frame",
    "from_huggingface",
    "from_sequences",
    "load_table",
    "merge",
    "merge_datasets",
    "normalize",
    "order",
    "pad",
    "split",
    "stream",
    "take",
    "write_table",
]
