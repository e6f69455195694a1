"""From files to `Batch`: padding, checks, normalisation, and the data sets."""

from lddu.data.batching import check_batch, concatenate, from_sequences, order, pad, take
from lddu.data.normalize import Normalizer, fit_normalizer, normalize
from lddu.data.tables import (
    from_frame,
    from_huggingface,
    load_table,
    split,
    stream,
    write_table,
)

__all__ = [
    "Normalizer",
    "check_batch",
    "concatenate",
    "fit_normalizer",
    "from_frame",
    "from_huggingface",
    "from_sequences",
    "load_table",
    "normalize",
    "order",
    "pad",
    "split",
    "stream",
    "take",
    "write_table",
]
