"""Runs of Weights & Biases."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from lddu.callbacks.callback import Callback, Start, numbers


class WeightsAndBiases(Callback):
    """Logs every epoch to a run of Weights & Biases, with the configuration.

    Figures are named `member-<k>/<figure>`, so that an ensemble is one run. Needs wandb.
    With `mode="offline"` nothing is sent until `wandb sync`.
    """

    def __init__(self, **options: Any):
        """Keeps the options of the run.

        Args:
          **options: What `wandb.init` takes: project, name, dir, mode, tags, ...

        Raises:
          ImportError: If wandb is missing.
        """
        try:
            self._wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise ImportError("WeightsAndBiases needs wandb: pip install wandb") from error
        self._options, self._run, self._last = options, None, False

    def start(self, start: Start) -> None:
        """Opens the run with the first group of members."""
        if self._run is None:
            config = dataclasses.asdict(start.config)
            self._run = self._wandb.init(**{"config": config, **self._options})
            self._run.define_metric("epoch")
            self._run.define_metric("*", step_metric="epoch")
        self._last = max(start.members) == start.config.train.members - 1

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Logs the figures of an epoch."""
        for record in records:
            named = {f"member-{record['member']}/{k}": x for k, x in numbers(record).items()}
            self._run.log({"epoch": record["epoch"], **named})

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Closes the run after the last group of members."""
        if self._last:
            self._run.finish()
            self._run = None
