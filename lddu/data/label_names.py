"""The names of a batch's labels against those of a model."""

from collections.abc import Sequence

from lddu.names import positions
from lddu.structs import Batch


def check_label_names(batch: Batch, labels: Sequence[str]) -> None:
    """Raises ValueError if the labels of a batch have names, but not these in this order."""
    if batch.label_names is None or batch.labels is None:
        return
    if positions("label", tuple(labels), batch.label_names, "the model", "batch") is not None:
        raise ValueError(
            f"batch has the labels {list(batch.label_names)}, the model {list(labels)}, in another "
            "order; lddu.data.adapt(batch, config.model) brings them into the model's"
        )


def in_order(batch: Batch, labels: Sequence[str]) -> Batch:
    """Returns a batch with its labels in the order of these names, if it has names of its own.

    Raises:
      ValueError: If the names are not the same; gives both lists.
    """
    if batch.label_names is None or batch.labels is None:
        return batch
    where = positions("label", tuple(labels), batch.label_names, "the model", "batch")
    if where is None:
        return batch
    return batch.replace(labels=batch.labels[:, where], label_names=tuple(labels))
