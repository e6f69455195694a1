"""How far a training is: a bar where someone watches, else one line per epoch."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm.auto import tqdm

from lddu.callbacks.callback import Callback, Start


class Progress(Callback):
    """Shows the steps done, and the loss and the validation scores of the last epoch.

    The scores are means over the members that have not stopped. Without a terminal or a notebook,
    such as in a log file, each epoch is a line on standard error.
    """

    def __init__(self, watched: bool | None = None):
        """Chooses the form.

        Args:
          watched: Whether to show a bar; None finds out.
        """
        self._watched = _watched() if watched is None else watched
        self._bar, self._name, self._epochs = None, "", 0

    def start(self, start: Start) -> None:
        """Opens the bar."""
        count, first = start.config.train.members, start.members[0]
        one = len(start.members) == 1
        self._name = f"member {first + 1}/{count}" if one else f"{len(start.members)} members"
        self._epochs = start.config.train.epochs
        self._bar = tqdm(
            total=self._epochs * start.steps_per_epoch,
            initial=start.epoch * start.steps_per_epoch,
            desc=self._name,
            unit="step",
            disable=not self._watched,
        )

    def step(self, step: int, terms: Mapping[str, jax.Array]) -> None:
        """Moves the bar."""
        self._bar.update(step - self._bar.n)

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Shows the scores of the epoch."""
        names = {"loss": "train_nll", "valid_nll": "valid_nll", "micro_f1": "valid_micro_f1"}
        means = {k: np.mean([record[name] for record in records]) for k, name in names.items()}
        digits = {"micro_f1": 3}
        shown = {k: f"{mean:.{digits.get(k, 4)}f}" for k, mean in means.items()}
        if self._watched:
            self._bar.set_postfix(shown)
        else:
            scores = ", ".join(f"{k} {text}" for k, text in shown.items())
            done = f"{self._name}: epoch {records[0]['epoch']}/{self._epochs}: {scores}"
            print(done, file=sys.stderr, flush=True)

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Closes the bar."""
        self._bar.close()


def _watched() -> bool:
    """Returns whether standard error is a terminal, or this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
