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
from lddu.metrics.multilabel import threshold
from lddu.predictor import storage
from lddu.predictor.combination import combine, member_probs
from lddu.predictor.dropout import dropout_members, has_dropout
from lddu.predictor.network import Members, Network, check_member, prepare, unwanted
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

        Where sequences are much shorter than their padding and the work is worth it, samples share
        rows (`lddu.packing`), hence the second compilation.

        Args:
          batch: Raw (not normalised) inputs; labels are not needed. A sample without any modality
            gets the base rate of the training labels.
          batch_size: Rows per device call, of which two run at a time; the last call is filled up.
            None chooses what suits model and device: 256 at most, and on CPU as few as 16.
          calibrated: Whether to apply the fitted calibrator.
          fields: Names of the fields to return, such as ("probs",); the others are None. None
            returns all fields. Most of their memory is in `latents`, 2 M C Z numbers per sample.

        Returns:
          A `Prediction` of NumPy arrays. With K members, `probs` is their mean (calibrated),
          `logit_mean` and `logit_var` are the moments of their mixture, `weights` and
          `unimodal_logits` their means; `latents` and `fused` are the first member's, because
          members do not share a latent space. `aleatoric` and `epistemic` are computed from the
          members' probabilities, each calibrated by the same map as their mean.

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

        Batches may have any number of rows: they are cut and joined to device calls of
        `batch_size` rows. These are filled up only at the end and where the padded lengths change,
        so pad alike, or sort by length. There are at most two compilations per combination of
        padded lengths, as in `predict`.

        Args:
          batches: Batches as in `predict`. They are read up to three device calls ahead of what is
            returned, and not kept, so that one buffer may be filled again and again.
          batch_size: Rows per device call, as in `predict`.
          calibrated: Whether to apply the fitted calibrator.
          fields: Names of the fields to return, as in `predict`.

        Returns:
          An iterator over one `Prediction` for each batch, in order, with its rows.

        Raises:
          ValueError: If the arguments are wrong; while iterating, if a batch does not fit the
            model; says which and how.
        """
        return self._predictions(self._prepared(batches), batch_size, calibrated, fields)

    def _prepared(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            try:
                yield prepare(batch, self.config.model)
            except ValueError as error:
                raise ValueError(f"batch {number}: {error}") from error

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

        Everything else can be computed from the result without another pass over the data:
        `combine`, `member_probs`, and `lddu.calibrate`.

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
        that the latter computes are `aleatoric` and `epistemic` of `predict`.

        Args:
          batch: Raw inputs, as in `predict`.
          batch_size: Rows per device call, as in `predict`.
          calibrated: Whether to apply the fitted calibrator, the same map to each member's logits.
            It was fitted for the members' mean, so the mean of calibrated members differs somewhat
            from the `probs` of `predict`, and a bent map, as of "isotonic", can shrink or stretch
            their disagreement locally; uncalibrated, the mean equals those `probs`.

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

        One trained network with its dropout left on stands for many, so that
        `lddu.uncertainty.decompose_variance` and `decompose_entropy` of the result tell how much
        they disagree. An ensemble (`config.train.members`) usually tells it better and costs more
        training. There is one compilation per padded input length, whatever `samples` is.

        Args:
          batch: Raw inputs, as in `predict`.
          samples: Number of dropout masks S of each member.
          seed: Seed of the masks, which also depend on `batch_size` and the shape of the batch.
          batch_size: Rows per device call; the last call is filled up.
          calibrated: Whether to apply the fitted calibrator, the same map to each sample's logits.
            It was fitted for the network without dropout.

        Returns:
          (S K, N, C) probabilities for K members, all masks of the first member first; a larger S
          only adds masks.

        Raises:
          ValueError: If the model has no dropout, `samples` is not positive, or the batch does not
            fit the model.

        References:
          Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty
          in Deep Learning", ICML 2016.
        """
        if not has_dropout(self.config.model):
            raise ValueError(
                "the model has no dropout: the rates of all its layers are 0 (see encoder.dropout, "
                "encoder.attention_dropout, label_dropout, statistics_dropout, head_dropout); "
                "train one with some, or use member_probs of an ensemble (train.members)"
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
        return self.calibrator if calibrated else Identity()

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
        check_member(k, self.network.size)
        return dataclasses.replace(
            self,
            params=jax.tree.map(lambda x: x[k : k + 1], self.params),
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
