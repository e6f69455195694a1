"""Event files for TensorBoard."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lddu.callbacks.callback import Callback, Start, numbers


class TensorBoard(Callback):
    """Writes the figures of every epoch as event files, in one folder `member-k` per member.

    Needs tensorboardX: pip install tensorboardX. A run that continues appends to its folders.
    """

    def __init__(self, folder: str | os.PathLike):
        """Chooses the folder.

        Args:
          folder: What `tensorboard --logdir` is given; created if it does not exist.

        Raises:
          ImportError: If tensorboardX is missing.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install tensorboardX") from error
        self._folder, self._open, self._writers = Path(folder), SummaryWriter, {}

    def start(self, start: Start) -> None:
        """Opens an event file for each member."""
        self._writers = {k: self._open(str(self._folder / f"member-{k}")) for k in start.members}

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes the figures of an epoch, at the number of the epoch."""
        for record in records:
            writer = self._writers[record["member"]]
            for name, value in numbers(record).items():
                writer.add_scalar(name, value, record["epoch"])
            writer.flush()

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Closes the event files."""
        for writer in self._writers.values():
            writer.close()
