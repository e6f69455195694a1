"""Runs of MLflow."""

import dataclasses
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lddu.callbacks.callback import Callback, Start, numbers


class MLflow(Callback):
    """Logs every epoch to a run of MLflow, with the configuration as parameters.

    Figures are named `member_<k>/<figure>`, so that an ensemble is one run. Needs mlflow or
    mlflow-skinny.
    """

    def __init__(
        self, experiment: str = "lddu", name: str | None = None, tracking_uri: str | None = None
    ):
        """Chooses where runs are kept.

        Args:
          experiment: Name of the experiment; made if it does not exist.
          name: Name of the run; None leaves it to MLflow.
          tracking_uri: A server, or a database such as "sqlite:///mlflow.db"; None takes what
            MLflow is configured for.

        Raises:
          ImportError: If MLflow is missing.
        """
        try:
            tracking = importlib.import_module("mlflow.tracking")
        except ImportError as error:
            raise ImportError("MLflow needs mlflow: pip install mlflow-skinny") from error
        self._client = tracking.MlflowClient(tracking_uri=tracking_uri)
        self._experiment, self._name, self._run, self._last = experiment, name, None, False

    def start(self, start: Start) -> None:
        """Opens the run with the first group of members."""
        if self._run is None:
            found = self._client.get_experiment_by_name(self._experiment)
            place = found.experiment_id if found else None
            place = place or self._client.create_experiment(self._experiment)
            self._run = self._client.create_run(place, run_name=self._name).info.run_id
            for path, value in _leaves(dataclasses.asdict(start.config)):
                self._client.log_param(self._run, path, value)
        self._last = max(start.members) == start.config.train.members - 1

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Logs the figures of an epoch."""
        for record in records:
            for figure, value in numbers(record).items():
                key = f"member_{record['member']}/{figure}"
                self._client.log_metric(self._run, key, value, step=record["epoch"])

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Closes the run after the last group of members."""
        if self._last:
            self._client.set_terminated(self._run)
            self._run = None


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the path and value of every setting of a nested configuration."""
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield from _leaves(below, f"{path}.{name}".lstrip("."))
    elif isinstance(tree, tuple | list) and tree and isinstance(tree[0], dict):
        for number, below in enumerate(tree):
            yield from _leaves(below, f"{path}.{number}")
    else:
        yield path, tree
