"""`Predictor`: trained weights with all that a prediction needs. `fit` makes one."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lddu.calibration import Calibrator, Choice, Identity
from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.metrics.decisions import threshold
from lddu.predictor import storage
from lddu.predictor.combination import combine, member_probs, of_labels
from lddu.predictor.dropout import dropout_members, has_dropout
from lddu.predictor.network import Members, Network, prepare, prepare_all, unwanted
from lddu.structs import Batch, Prediction


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """Weights, calibrator, thresholds, label names and input normalisation, as one object.

    Attributes:
      config: The configuration that it was trained with.
      params: Parameters with a leading axis of K ensemble members.
      normalizer: Normalisation of every input.
      base_rate: (C,) share of positives in the training labels.
      calibrator: State of `lddu.calibration` that is applied to the logits of the members' mean
        probability; `Identity` changes nothing.
      shared_threshold: () decision threshold on calibrated probabilities, for all labels.
      label_thresholds: (C,) decision thresholds, one for each label.
      history: Training history, one record per member and epoch.
      choice: With `calibration.method` "choose", the name of the chosen calibrator and the scores
        of all candidates; else None.
    """

    config: Config
    params: Any
    normalizer: Normalizer
    base_rate: np.ndarray
    calibrator: Calibrator
    shared_threshold: np.ndarray
    label_thresholds: np.ndarray
    history: tuple[dict[str, Any], ...] = ()
    choice: Choice | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self.config.model.labels

    @property
    def thresholds(self) -> np.ndarray:
        """The decision thresholds (C,) that the configuration chooses."""
        if self.config.calibration.thresholds == "per_label":
            return self.label_thresholds
        return np.broadcast_to(self.shared_threshold, (len(self.labels),))

    def predict(
        self,
        batch: Batch,
        *,
        batch_size: int | None = None,
        calibrated: bool = True,
        fields: Sequence[str] | None = None,
    ) -> Prediction:
        """Predicts any number of samples, compiling at most twice per padded input length.

        Args:
          batch: Raw (not normalised) inputs; labels are not needed. A sample without any modality
            gets the base rate of the training labels.
          batch_size: Rows per device call, of which two run at a time; the last call is filled up.
            None chooses what suits model and device: 16 to 256.
          calibrated: Whether to apply the fitted calibrator.
          fields: Names of the fields to return, such as ("probs",); the others are None. None
            returns all fields, of which `latents` is the largest: 2 M C Z numbers per sample.

        Returns:
          A `Prediction` of NumPy arrays. With K members, `probs` is their mean (calibrated), and
          the shares of `aleatoric` and `epistemic` in its variance come from their probabilities,
          each calibrated by the same map.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        batches = [prepare(batch, self.config.model)]
        (prediction,) = self._predictions(batches, batch_size, calibrated, fields)
        return prediction

    def predict_batches(
        self,
        batches: Iterable[Batch],
        *,
        batch_size: int | None = None,
        calibrated: bool = True,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Prediction]:
        """Predicts a stream of batches, for data or predictions that do not fit into memory.

        Batches of any number of rows are cut and joined to device calls of `batch_size` rows, which
        are filled up only at the end and where the padded lengths change: pad alike. As in
        `predict`, each combination of lengths compiles at most twice.

        Args:
          batches: Batches as in `predict`, read up to three device calls ahead and not kept, so
            that one buffer may be filled again and again.
          batch_size: Rows per device call, as in `predict`.
          calibrated: Whether to apply the fitted calibrator.
          fields: Names of the fields to return, as in `predict`.

        Returns:
          An iterator over one `Prediction` for each batch, in order.

        Raises:
          ValueError: If the arguments are wrong or, while iterating, a batch does not fit.
        """
        return self._predictions(
            prepare_all(batches, self.config.model), batch_size, calibrated, fields
        )

    def _predictions(
        self,
        prepared: Iterable[Batch],
        batch_size: int | None,
        calibrated: bool,
        fields: Sequence[str] | None,
    ) -> Iterator[Prediction]:
        left_out = unwanted(fields)
        calibrator = self._calibrator(calibrated)

        def finish(members: Members) -> Prediction:
            return combine(members, calibrator).replace(**left_out)

        return self.network.stream(prepared, batch_size, finish)

    def members(
        self, batch: Batch, *, batch_size: int | None = None, fields: Sequence[str] = ()
    ) -> Members:
        """Runs every ensemble member once, without calibration.

        `combine` and `lddu.calibrate` take the result and need no other pass over the data.

        Args:
          batch: Raw inputs, as in `predict`.
          batch_size: Rows per device call, as in `predict`.
          fields: Names of the fields of a `Prediction` to keep in `rest`, such as ("weights",).

        Returns:
          `Members` of NumPy arrays.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        return self.network.members(batch, batch_size, fields)

    def combine(self, members: Members, *, calibrated: bool = True) -> Prediction:
        """Computes the prediction of the ensemble from those of its members.

        Args:
          members: What `members` returned.
          calibrated: Whether to apply the fitted calibrator.

        Returns:
          A `Prediction` of NumPy arrays: `probs`, `logits`, `aleatoric`, `epistemic` and the fields
          that `members` kept.
        """
        return jax.device_get(combine(members, self._calibrator(calibrated)))

    def member_probs(
        self, batch: Batch, *, batch_size: int | None = None, calibrated: bool = True
    ) -> np.ndarray:
        """Predicts with every ensemble member alone.

        `lddu.uncertainty.decompose_entropy` and `decompose_variance` take the result; the parts
        that the latter computes with the `probs` of `predict` are its `aleatoric` and `epistemic`.

        Args:
          batch: Raw inputs, as in `predict`.
          batch_size: Rows per device call, as in `predict`.
          calibrated: Whether to apply the calibrator, which was fitted for the members' mean, to
            each member. Uncalibrated, their mean equals the `probs` of `predict`.

        Returns:
          (K, N, C) probabilities of K members.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        members = self.members(batch, batch_size=batch_size)
        return member_probs(members, self._calibrator(calibrated))

    def dropout_probs(
        self,
        batch: Batch,
        *,
        samples: int = 20,
        seed: int = 0,
        batch_size: int = 256,
        calibrated: bool = True,
    ) -> np.ndarray:
        """Predicts under random dropout masks ("MC dropout"): a cheap kind of ensemble.

        `lddu.uncertainty.decompose_variance` of the result tells how much the masks disagree; an
        ensemble (`config.train.members`) usually tells more and costs more training. There is one
        compilation per padded input length, whatever `samples` is.

        Args:
          batch: Raw inputs, as in `predict`.
          samples: Number of dropout masks S of each member.
          seed: Seed of the masks; they also depend on `batch_size` and the shape of the batch.
          batch_size: Rows per device call; the last call is filled up.
          calibrated: Whether to apply the calibrator that was fitted without dropout.

        Returns:
          (S K, N, C) probabilities, all masks of the first of K members first.

        Raises:
          ValueError: If the model has no dropout, or an argument does not fit.

        References:
          Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty
          in Deep Learning", ICML 2016.
        """
        if not has_dropout(self.config.model):
            raise ValueError(
                "the model has no dropout: the rates of all its layers are 0 (encoder.dropout, "
                "label_dropout, ...); train one, or use an ensemble (train.members)"
            )
        if samples < 1:
            raise ValueError(f"samples={samples} must be at least 1")
        members = dropout_members(self.network, batch, samples, seed, batch_size)
        return member_probs(members, self._calibrator(calibrated))

    @property
    def network(self) -> Network:
        """The trained members with the normalisation of their inputs."""
        config = self.config
        return Network(config.model, config.execution, self.params, self.normalizer)

    def _calibrator(self, calibrated: bool) -> Calibrator:
        return of_labels(self.calibrator, self.labels) if calibrated else Identity()

    def decide(self, prediction: Prediction) -> np.ndarray:
        """Decides which labels are present, at the thresholds fitted on validation data.

        Args:
          prediction: What `predict` returned.

        Returns:
          (N, C) bool.
        """
        return threshold(prediction.probs, self.thresholds)

    def member(self, k: int) -> "Predictor":
        """Returns the k-th ensemble member alone; fit its calibration anew with `calibrate`.

        Raises:
          IndexError: Unless 0 <= k < K.
        """
        return dataclasses.replace(
            self,
            params=self.network.member_params(k),
            history=tuple(r for r in self.history if r["member"] == k),
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Writes everything to a folder.

        Where several processes run one program, all of them call this, and the first one writes.

        Args:
          path: A new folder, or one that holds a saved predictor, which is replaced in one step.

        Returns:
          The absolute path.

        Raises:
          FileExistsError: If `path` exists and is not a saved predictor.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["calibrator"] = self._calibrator(True)
        return storage.save(path, fields)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictor":
        """Reads a predictor that `save` wrote.

        Args:
          path: Its folder.

        Raises:
          FileNotFoundError: If `path` holds no saved predictor.
          ValueError: If it has another format, or its files are damaged or do not fit together.
        """
        return cls(**storage.load(path))
