"""`Predictor`: trained weights with all that a prediction needs; and `fit`, which makes one."""

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lddu import uncertainty
from lddu.calibration import Temperature, apply_temperature, fit_temperature
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.config import Config, ModelConfig
from lddu.data.batching import batches, check_batch, fingerprint, take
from lddu.data.normalize import Normalizer, normalize
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
        check_batch(batch, self.config.model)
        batch = _select(batch, self.config).replace(labels=None, weight=None)
        batch = jax.tree.map(np.asarray, batch)
        rows, weight = batches(np.arange(batch.size), batch_size)
        temperature = self.temperature if calibrated else _identity(len(self.labels))
        # One shape, shared or per label, so that all of them share one compilation.
        temperature = Temperature(*(jnp.broadcast_to(x, len(self.labels)) for x in temperature))
        parts = [
            jax.device_get(self._forward(self.params, self.normalizer, temperature, take(batch, r)))
            for r in rows
        ]
        real = weight.reshape(-1) > 0
        return jax.tree.map(lambda *x: np.concatenate(x)[real], *parts)

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
        return _compile(self.config.model)

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
    """
    from lddu.training.loop import Trainer

    check_batch(train, config.model, labelled=True)
    check_batch(valid, config.model, labelled=True)
    valid_labels = np.asarray(valid.labels)
    if not np.isin(valid_labels, (0.0, 1.0)).all():
        raise ValueError(
            "valid.labels are soft; model choice, calibration and thresholds need hard labels"
        )
    folder = None if folder is None else _claim(Path(folder), config, train, valid)
    train, valid = _select(train, config), _select(valid, config)
    trainer = Trainer(config, train, valid)
    members, history = [], []
    for k in range(config.train.members):
        trained = trainer.run(k, folder and folder / f"member-{k}", progress)
        members.append(trained.params)
        history += [{"member": k, **record} for record in trained.history]
    params = jax.tree.map(lambda *x: jnp.stack(x), *members)
    raw = Predictor(
        config,
        params,
        trainer.normalizer,
        base_rate(train.labels),
        _identity(len(config.model.labels)),
        np.asarray(0.5),
        np.full(len(config.model.labels), 0.5),
        tuple(history),
    )
    return calibrate(raw, valid)


def calibrate(predictor: Predictor, valid: Batch) -> Predictor:
    """The same predictor with temperature and thresholds fitted on `valid` (hard labels)."""
    cfg = predictor.config.calibration
    labels = np.asarray(valid.labels)
    rate = jnp.asarray(predictor.base_rate, jnp.float32)
    anchor = jnp.log(rate) - jnp.log1p(-rate) if cfg.anchor == "base_rate" else jnp.zeros_like(rate)
    raw = predictor.predict(valid, calibrated=False)
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
    predictor = dataclasses.replace(predictor, temperature=temperature)
    probs = predictor.predict(valid).probs
    shared = fit_shared(probs, labels)
    return dataclasses.replace(
        predictor,
        shared_threshold=shared,
        label_thresholds=fit_per_label(probs, labels, fallback=float(shared)),
    )


@functools.lru_cache(maxsize=16)
def _compile(config: ModelConfig) -> Callable[[Any, Normalizer, Temperature, Batch], Prediction]:
    """The jitted prediction, one for all predictors of a model, such as before calibration."""
    model = LDDU(config)

    def forward(params, normalizer, temperature, batch):
        batch = normalize(batch, normalizer)
        members = jax.lax.map(lambda p: model.apply({"params": p}, batch), params)
        return _combine(members, temperature, batch.observed(config.modality_names))

    return jax.jit(forward)


def _combine(members: Prediction, temperature: Temperature, observed: jax.Array) -> Prediction:
    """One prediction from K; leaves of `members` have a leading axis K."""
    # Log-odds of the mean, from log-probabilities, so that certain members do not overflow.
    log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(members.logits), axis=0)
    log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-members.logits), axis=0)
    # Nothing observed, nothing to calibrate: such a sample keeps the base rate.
    seen = observed.any(-1, keepdims=True)
    logits = jnp.where(seen, apply_temperature(temperature, log_p - log_q), log_p - log_q)
    tempered = jnp.where(seen, apply_temperature(temperature, members.logits), members.logits)
    parts = uncertainty.decompose_variance(jax.nn.sigmoid(tempered))

    def mean(leaf: jax.Array | None) -> jax.Array | None:
        return jax.tree.map(lambda x: x.mean(0), leaf)

    return Prediction(
        probs=jax.nn.sigmoid(logits),
        logits=logits,
        logit_mean=mean(members.logit_mean),
        logit_var=None
        if members.logit_var is None
        else members.logit_var.mean(0) + members.logit_mean.var(0),
        latents=jax.tree.map(lambda x: x[0], members.latents),
        fused=jax.tree.map(lambda x: x[0], members.fused),
        weights=mean(members.weights),
        unimodal_logits=mean(members.unimodal_logits),
        direct_logits=mean(members.direct_logits),
        aleatoric=parts.aleatoric,
        epistemic=parts.epistemic,
    )


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
