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
from lddu.predictor import inference
from lddu.predictor import storage as saving
from lddu.structs import Batch, Prediction


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """Weights, calibrator, thresholds, label names and input normalisation, as one object.

    Attributes:
      config: The configuration it was trained with.
      params: Parameters with a leading axis of K ensemble members.
      normalizer: Applied to every input.
      base_rate: (C,) share of positives in the training labels.
      calibrator: Applied to the logits of the members' mean probability, by
        `lddu.calibration.apply`; one of its states, `Identity` where there is none.
      shared_threshold: () decision threshold on calibrated probabilities.
      label_thresholds: (C,) one threshold per label.
      history: Training history, one dict per member and epoch.
      choice: With `calibration.method` "choose", the name of the calibrator chosen and the scores
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
        """Label names."""
        return self.config.model.labels

    @property
    def thresholds(self) -> np.ndarray:
        """(C,) the thresholds that the configuration chose."""
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
        """Predicts any number of samples, with two compilations at most per padded input length.

        Where sequences are much shorter than their padding and the work is worth it, samples share
        rows (`lddu.packing.plan.StreamPacker`), hence the second.

        Args:
          batch: Raw (not normalised) inputs; labels are not needed. A sample without any modality
            gets the training base rate.
          batch_size: Rows per device call, of which two run at a time; the last call is filled up.
            None for what suits model and device: 256 at most, and on CPU as few as 16.
          calibrated: Whether to apply the fitted calibrator.
          fields: Names of the fields to return, such as ("probs",); the others are None. None
            returns all: of a million samples that is mostly `latents`, 2 M C Z numbers each.

        Returns:
          A `Prediction` of NumPy arrays. With K members, `probs` is their mean (calibrated),
          `logit_mean` and `logit_var` are the moments of their mixture, `weights` and
          `unimodal_logits` their means; `latents` and `fused` are the first member's, because
          members do not share a latent space. `aleatoric` and `epistemic` are of the members'
          probabilities, each calibrated by the same map as their mean.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        prepared = [inference.prepare(batch, self.config.model)]
        (prediction,) = self._predictions(prepared, batch_size, calibrated, fields)
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
        so pad alike, or sort by length. There are two compilations at most per combination of
        padded lengths, as in `predict`.

        Args:
          batches: As in `predict`. They are read up to three device calls ahead of what is
            returned, and not kept, so that one buffer may be filled again and again.
          batch_size: As in `predict`.
          calibrated: As in `predict`.
          fields: As in `predict`.

        Returns:
          An iterator over one `Prediction` for each batch, in order, with its rows.

        Raises:
          ValueError: If the arguments are wrong; while iterating, if a batch does not fit the
            model; says which and how.
        """
        prepared = self._prepare(batches)
        return self._predictions(prepared, batch_size, calibrated, fields)

    def _prepare(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            try:
                yield inference.prepare(batch, self.config.model)
            except ValueError as error:
                raise ValueError(f"batch {number}: {error}") from error

    def _predictions(
        self,
        prepared: Iterable[Batch],
        batch_size: int | None,
        calibrated: bool,
        fields: Sequence[str] | None,
    ) -> Iterator[Prediction]:
        return inference.predictions(
            self.config.model,
            self.params,
            self.normalizer,
            self._calibrator(calibrated),
            prepared,
            batch_size,
            fields,
        )

    def member_probs(
        self, batch: Batch, *, batch_size: int | None = None, calibrated: bool = True
    ) -> np.ndarray:
        """Every ensemble member's own probabilities.

        They are what `lddu.uncertainty.decompose_entropy` and `decompose_variance` take; the
        latter's parts of them are `aleatoric` and `epistemic` of `predict`.

        Args:
          batch: As in `predict`.
          batch_size: As in `predict`.
          calibrated: Whether to apply the fitted calibrator, the same map to each member's logits.
            It was fitted for the members' mean, so the mean of calibrated members differs somewhat
            from the `probs` of `predict`, and a bent map, as of "isotonic", can shrink or stretch
            their disagreement locally; uncalibrated, the mean equals those `probs`.

        Returns:
          (K, N, C) for K members.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        parts = inference.member_logits(
            self.config.model, self.params, self.normalizer, batch, batch_size
        )
        return inference.member_probs(parts, self._calibrator(calibrated), batch.size)

    def dropout_probs(
        self,
        batch: Batch,
        *,
        samples: int = 20,
        seed: int = 0,
        batch_size: int = 256,
        calibrated: bool = True,
    ) -> np.ndarray:
        """Probabilities under random dropout masks ("MC dropout"): a cheap kind of ensemble.

        One trained network with its dropout left on stands for many, so that
        `lddu.uncertainty.decompose_variance` and `decompose_entropy` of the result tell how far
        they disagree. An ensemble (`config.train.members`) usually tells it better and costs more
        training. There is one compilation per padded input length, whatever
        `samples` is.

        Args:
          batch: As in `predict`.
          samples: Dropout masks S of each member.
          seed: Determines the masks, together with `batch_size` and the shape of the batch.
          batch_size: Rows per device call; the last call is filled up.
          calibrated: Whether to apply the fitted calibrator, the same map to each sample's logits.
            It was fitted for the network without dropout.

        Returns:
          (S K, N, C) for K members, all masks of the first member first; a larger S only adds
          masks.

        Raises:
          ValueError: If the model has no dropout, `samples` is not positive, or the batch does not
            fit the model.

        References:
          Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty
          in Deep Learning", ICML 2016.
        """
        rates = inference.dropout_rates(self.config.model)
        if not any(rates.values()):
            raise ValueError(
                f"the model has no dropout: {', '.join(rates)} are all 0; train one with some, or "
                "use member_probs of an ensemble (train.members)"
            )
        if samples < 1:
            raise ValueError(f"samples={samples} is not at least 1")
        forward = inference.dropout_logits(self.config.model)
        key = jax.random.key(seed, impl="rbg")  # its bits cost a fraction of threefry's
        parts = []
        chunks = inference.input_chunks(batch, self.config.model, batch_size)
        for i, chunk in enumerate(chunks):
            part = jax.device_put(chunk.batch)  # once, for all draws
            draws = [forward(self.params, self.normalizer, part, key, i, s) for s in range(samples)]
            logits = np.stack(jax.device_get(draws), axis=1)  # (K, S, B, C)
            parts.append((logits.reshape(-1, *logits.shape[2:]), chunk.seen))
        return inference.member_probs(parts, self._calibrator(calibrated), batch.size)

    def _calibrator(self, calibrated: bool) -> Calibrator:
        return self.calibrator if calibrated else Identity()

    def decide(self, prediction: Prediction) -> np.ndarray:
        """(N, C) bool: which labels are present, at the thresholds fitted on validation."""
        return threshold(prediction.probs, self.thresholds)

    def member(self, k: int) -> "Predictor":
        """The k-th ensemble member alone; fit its calibration anew with `calibrate`."""
        return dataclasses.replace(
            self,
            params=jax.tree.map(lambda x: x[k : k + 1], self.params),
            history=tuple(r for r in self.history if r["member"] == k),
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Writes everything to a new folder `path`; replaces a predictor that is already there.

        Raises:
          FileExistsError: If `path` exists and is not a saved predictor.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return saving.save(path, fields)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictor":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: If `path` holds no saved predictor.
          ValueError: If it was written in another format, or its files do not fit together.
        """
        return cls(**saving.load(path))
