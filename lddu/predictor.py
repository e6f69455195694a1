"""`Predictor`: trained weights with all that a prediction needs; and `fit`, which makes one."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lddu import inference
from lddu.calibration import Temperature, fit_temperature
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.config import Config
from lddu.data.batching import batches, check_batch, fingerprint, take
from lddu.data.normalize import Normalizer
from lddu.metrics.multilabel import threshold
from lddu.model import LDDU, example_batch
from lddu.structs import Batch, Prediction
from lddu.training.state import base_rate

_FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """Weights, calibrator, thresholds, label names and input normalisation, as one object.

    Attributes:
      config: The configuration it was trained with.
      params: Parameters with a leading axis of K ensemble members.
      normalizer: Applied to every input.
      base_rate: (C,) share of positives in the training labels.
      temperature: Applied to the logits of the members' mean probability.
      shared_threshold: () decision threshold on calibrated probabilities.
      label_thresholds: (C,) one threshold per label.
      history: Training history, one dict per member and epoch.
    """

    config: Config
    params: Any
    normalizer: Normalizer
    base_rate: np.ndarray
    temperature: Temperature
    shared_threshold: np.ndarray
    label_thresholds: np.ndarray
    history: tuple[dict[str, Any], ...] = ()

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
        self, batch: Batch, *, batch_size: int = 256, calibrated: bool = True
    ) -> Prediction:
        """Predicts any number of samples, with one compilation per padded input length.

        Args:
          batch: Raw (not normalised) inputs; labels are not needed. A sample without any modality
            gets the training base rate.
          batch_size: Rows per device call; the last call is filled up.
          calibrated: Whether to apply the fitted temperature.

        Returns:
          A `Prediction` of NumPy arrays. With K members, `probs` is their mean (calibrated),
          `logit_mean` and `logit_var` are the moments of their mixture, `weights` and
          `unimodal_logits` their means; `latents` and `fused` are the first member's, because
          members do not share a latent space.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        parts = self._member_predictions(batch, batch_size)
        return _combine(parts, self._temperature(calibrated), batch.size)

    def member_probs(
        self, batch: Batch, *, batch_size: int = 256, calibrated: bool = True
    ) -> np.ndarray:
        """Every ensemble member's own probabilities.

        They are what `lddu.uncertainty.decompose_entropy` and `decompose_variance` take; the
        latter's parts of them are `aleatoric` and `epistemic` of `predict`.

        Args:
          batch: As in `predict`.
          batch_size: As in `predict`.
          calibrated: Whether to apply the fitted temperature, to each member's logits. It was
            fitted for the members' mean, so the mean of calibrated members differs somewhat from
            the `probs` of `predict`; uncalibrated, it equals them.

        Returns:
          (K, N, C) for K members.

        Raises:
          ValueError: If the batch does not fit the model; says how.
        """
        temperature = self._temperature(calibrated)
        parts = [
            inference.member_probs(members.logits, temperature, seen)
            for members, seen in self._member_predictions(batch, batch_size)
        ]
        return _join(parts, batch.size, axis=1)

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
        training. As in `predict` there is one compilation per padded input length, whatever
        `samples` is.

        Args:
          batch: As in `predict`.
          samples: Dropout masks S of each member.
          seed: Determines the masks, together with `batch_size` and the shape of the batch.
          batch_size: As in `predict`.
          calibrated: Whether to apply the fitted temperature, to each sample's logits. It was
            fitted for the network without dropout.

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
        temperature = self._temperature(calibrated)
        key = jax.random.key(seed, impl="rbg")  # its bits cost a fraction of threefry's
        parts = []
        for i, (part, seen) in enumerate(self._batches(batch, batch_size)):
            part = jax.device_put(part)  # once, for all draws
            draws = [forward(self.params, self.normalizer, part, key, i, s) for s in range(samples)]
            logits = np.stack(jax.device_get(draws), axis=1)  # (K, S, B, C)
            logits = logits.reshape(-1, *logits.shape[2:])
            parts.append(inference.member_probs(logits, temperature, seen))
        return _join(parts, batch.size, axis=1)

    def _batches(self, batch: Batch, batch_size: int) -> Iterator[tuple[Batch, np.ndarray]]:
        """Inputs in batches of one size, the last filled up; and which rows have any input."""
        check_batch(batch, self.config.model)
        batch = _select(batch, self.config).replace(labels=None, weight=None)
        batch = jax.tree.map(np.asarray, batch)
        seen = batch.observed(self.config.model.modality_names).any(-1)
        rows, _ = batches(np.arange(batch.size), batch_size)
        return ((take(batch, r), seen[r]) for r in rows)

    def _member_predictions(
        self, batch: Batch, batch_size: int = 256
    ) -> Iterator[tuple[inference.Members, np.ndarray]]:
        """Predictions before calibration, batch by batch, and which rows have any input."""
        return (
            (jax.device_get(self._forward(self.params, self.normalizer, part)), seen)
            for part, seen in self._batches(batch, batch_size)
        )

    def _temperature(self, calibrated: bool) -> Temperature:
        return self.temperature if calibrated else _identity(len(self.labels))

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

    @property
    def _forward(self):
        return inference.forward(self.config.model)

    def save(self, path: str | os.PathLike) -> Path:
        """Writes everything to a new folder `path`; replaces a predictor that is already there.

        Raises:
          FileExistsError: If `path` exists and is not a saved predictor.
        """
        from orbax.checkpoint import v1 as ocp  # here: `import lddu` stays free of orbax

        path = Path(path).absolute()
        if path.exists() and not (path / "predictor.json").exists():
            raise FileExistsError(
                f"{path} exists and holds no saved predictor; choose another path"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and moved, so that a killed save leaves no half predictor at `path`.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
            partial = Path(folder) / "predictor"
            partial.mkdir()
            ocp.save_pytree(partial / "params", jax.tree.map(jnp.asarray, self.params))
            (partial / "config.json").write_text(self.config.to_json())
            (partial / "predictor.json").write_text(json.dumps(self._to_json(), indent=2))
            if path.exists():
                path.rename(Path(folder) / "old")
            partial.rename(path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictor":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: If `path` holds no saved predictor.
          ValueError: If it was written in another format, or its files do not fit together.
        """
        from orbax.checkpoint import v1 as ocp

        path = Path(path).absolute()
        if not (path / "predictor.json").exists():
            raise FileNotFoundError(f"{path} holds no saved predictor (no predictor.json)")
        try:
            saved = json.loads((path / "predictor.json").read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'predictor.json'} is damaged: {error}") from error
        if not isinstance(saved, dict):
            raise ValueError(f"{path / 'predictor.json'} is damaged: it holds no JSON object")
        if saved.get("format") != _FORMAT:
            raise ValueError(f"{path}: format {saved.get('format')!r}, expected {_FORMAT}")
        config = Config.from_json((path / "config.json").read_text())
        one = jax.eval_shape(
            lambda: LDDU(config.model).init(jax.random.key(0), example_batch(config.model))[
                "params"
            ]
        )
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((saved["members"], *x.shape), x.dtype, sharding=device),
            one,
        )

        try:
            params = ocp.load_pytree(path / "params", like)
        except Exception as error:  # orbax and its stores raise many kinds
            raise ValueError(
                f"{path / 'params'} is damaged or does not fit config.json: {error}"
            ) from error

        def array(x):
            return np.asarray(x, np.float32)

        return cls(
            config=config,
            params=params,
            normalizer=Normalizer(
                {k: array(v) for k, v in saved["mean"].items()},
                {k: array(v) for k, v in saved["std"].items()},
            ),
            base_rate=np.asarray(saved["base_rate"]),
            temperature=Temperature(
                jnp.asarray(saved["temperature"], jnp.float32),
                jnp.asarray(saved["anchor"], jnp.float32),
            ),
            shared_threshold=np.asarray(saved["shared_threshold"]),
            label_thresholds=np.asarray(saved["label_thresholds"]),
            history=tuple(saved["history"]),
        )

    def _to_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "labels": list(self.labels),
            "members": int(jax.tree.leaves(self.params)[0].shape[0]),
            "mean": {k: np.asarray(v).tolist() for k, v in self.normalizer.mean.items()},
            "std": {k: np.asarray(v).tolist() for k, v in self.normalizer.std.items()},
            "base_rate": np.asarray(self.base_rate).tolist(),
            "temperature": np.asarray(self.temperature.temperature).tolist(),
            "anchor": np.asarray(self.temperature.anchor).tolist(),
            "shared_threshold": float(self.shared_threshold),
            "label_thresholds": np.asarray(self.label_thresholds).tolist(),
            "history": list(self.history),
        }


def fit(
    config: Config,
    train: Batch,
    valid: Batch,
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
) -> Predictor:
    """Trains, chooses the epoch, calibrates and sets thresholds, all of it without test data.

    Args:
      config: What to train, from a preset of `lddu.config`.
      train: Raw training rows with labels in [0, 1], hard or soft.
      valid: Raw validation rows with hard labels. They choose the epoch and fit the temperature
        and the thresholds.
      folder: Run folder for the configuration, metrics and checkpoints. A run killed there goes on
        where it stopped when `fit` is called again. None keeps nothing.
      progress: Whether to show a progress bar.

    Returns:
      A `Predictor`.

    Raises:
      ValueError: If the data do not fit the configuration, validation labels are soft, or
        `folder` holds a run of another configuration or on other data.
      FloatingPointError: If a member's loss stops being finite.
    """
    from lddu.training.members import train_members  # here: `import lddu` stays light

    check_batch(train, config.model, labelled=True)
    check_batch(valid, config.model, labelled=True)
    valid_labels = np.asarray(valid.labels)
    if not np.isin(valid_labels, (0.0, 1.0)).all():
        raise ValueError(
            "valid.labels are soft; model choice, calibration and thresholds need hard labels"
        )
    folder = None if folder is None else _claim(Path(folder), config, train, valid)
    train, valid = _select(train, config), _select(valid, config)
    trained, normalizer = train_members(config, train, valid, folder, progress)
    raw = Predictor(
        config,
        jax.tree.map(lambda *x: jnp.stack(x), *(member.params for member in trained)),
        normalizer,
        base_rate(train.labels),
        _identity(len(config.model.labels)),
        np.asarray(0.5),
        np.full(len(config.model.labels), 0.5),
        tuple(
            {"member": k, **record} for k, member in enumerate(trained) for record in member.history
        ),
    )
    return calibrate(raw, valid)


def calibrate(predictor: Predictor, valid: Batch) -> Predictor:
    """The same predictor with temperature and thresholds fitted on `valid` (hard labels)."""
    cfg = predictor.config.calibration
    labels = np.asarray(valid.labels)
    rate = jnp.asarray(predictor.base_rate, jnp.float32)
    anchor = jnp.log(rate) - jnp.log1p(-rate) if cfg.anchor == "base_rate" else jnp.zeros_like(rate)
    parts = list(predictor._member_predictions(valid))
    raw = _combine(parts, _identity(len(predictor.labels)), valid.size)
    if cfg.temperature == "none":
        temperature = _identity(len(predictor.labels))
    else:
        temperature = fit_temperature(
            raw.logits,
            labels,
            per_label=cfg.temperature == "per_label",
            anchor=anchor,
            shrinkage=cfg.shrinkage,
        )
    probs = _combine(parts, temperature, valid.size).probs
    shared = fit_shared(probs, labels)
    return dataclasses.replace(
        predictor,
        temperature=temperature,
        shared_threshold=shared,
        label_thresholds=fit_per_label(probs, labels, fallback=float(shared)),
    )


def _combine(
    parts: Iterable[tuple[inference.Members, np.ndarray]], temperature: Temperature, size: int
) -> Prediction:
    """The calibrated prediction of the ensemble from `Predictor._member_predictions`."""
    return _join([inference.combine(part, temperature, seen) for part, seen in parts], size)


def _join(parts: Sequence[Any], size: int, axis: int = 0) -> Any:
    """Joins batches along their rows and drops the filler at the end."""
    rows = (slice(None),) * axis + (slice(size),)
    return jax.tree.map(lambda *x: np.concatenate(x, axis)[rows], *parts)


def _select(batch: Batch, config: Config) -> Batch:
    """The batch without modalities that the model does not know."""
    names = config.model.modality_names
    return batch.replace(
        modalities={name: batch.modalities[name] for name in names},
        present={name: batch.present[name] for name in names},
    )


def _identity(labels: int) -> Temperature:
    return Temperature(jnp.ones(()), jnp.zeros(labels))


def _claim(folder: Path, config: Config, train: Batch, valid: Batch) -> Path:
    """Makes the run folder that of this configuration on these data."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    if path.exists() and Config.from_json(path.read_text()) != config:
        raise ValueError(
            f"{folder} holds a run of another configuration (see {path}); choose another folder or "
            "delete it"
        )
    path.write_text(config.to_json())
    path = folder / "data.json"
    data = {"train": fingerprint(train), "valid": fingerprint(valid)}
    if path.exists() and json.loads(path.read_text()) != data:
        raise ValueError(
            f"{folder} holds a run on other data (see {path}); choose another folder or delete it"
        )
    path.write_text(json.dumps(data))
    return folder
