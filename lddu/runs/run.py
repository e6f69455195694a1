"""`Run`: what an experiment did and found, as one object."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lddu.config import Config
from lddu.runs.detail import Detail
from lddu.runs.predictions import RunPredictions
from lddu.runs.results import command_line
from lddu.runs.scores import Metric, Table
from lddu.runs.tables import Published


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What an experiment did and found. `lddu.runs.folder.write_run` writes it to disk.

    Attributes:
      title: Headline of the report.
      config: Configuration of the main model.
      predictions: Predictions of all models for the test samples. The report shows those of the
        main model's first run.
      table: Statistics of each model; `predictions.table()` unless the task is scored otherwise.
      seconds: Wall time of the experiment.
      command: The command that ran it; by default that of this process.
      history: Training history of the main model, one mapping per epoch and member.
      weights: (N, C, M) fusion weights of the main model on the test samples, as in
        `lddu.Prediction`; None leaves their figure out.
      detail: What the main model tells of the test samples beyond their probabilities, for the
        explorer.
      bound: The name of a model that is a bound on what any model can reach, and never the best.
      metrics: Metrics of `table` other than those of `lddu.runs.scores.METRICS`.
      protocol: What was chosen on which split, in words.
      notes: Remarks of one sentence or two, listed under the summary.
      published: Results of others to show beside these.
      data_card: Text that describes the data.

    Example:
      >>> import numpy as np
      >>> from lddu import config
      >>> from lddu.runs.predictions import ModelPredictions, RunPredictions
      >>> prior = ModelPredictions(np.full((1, 4, 1), 0.5), np.full((1, 1), 0.5))
      >>> labels = np.array([[1], [0], [1], [0]])
      >>> predictions = RunPredictions(
      ...     np.arange(4), labels, ("joy",), "validation", main="prior", models={"prior": prior}
      ... )
      >>> cfg = config.tiny({"text": (3, 4)}, ["joy"])
      >>> run = Run("A run", cfg, predictions, predictions.table(), seconds=1.0)
      >>> run.table["prior"]["brier"]["mean"]
      0.25
    """

    title: str
    config: Config
    predictions: RunPredictions
    table: Table
    seconds: float
    command: str = dataclasses.field(default_factory=command_line)
    history: Sequence[Mapping[str, Any]] = ()
    weights: np.ndarray | None = None
    detail: Detail | None = None
    bound: str | None = None
    metrics: tuple[Metric, ...] = ()
    protocol: str = ""
    notes: Sequence[str] = ()
    published: Sequence[Published] = ()
    data_card: str = ""
