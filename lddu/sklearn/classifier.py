"""`LDDUClassifier`: `lddu.fit` as a scikit-learn estimator."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import validate_data

from lddu.config import PRESETS, Config, replace
from lddu.data.batching import take
from lddu.predictor.calibrating import calibrate
from lddu.predictor.fitting import train_only
from lddu.sklearn.decisions import LabelClassifier, Thresholds
from lddu.sklearn.rows import Rows, is_mapping, table_batch, to_batch
from lddu.sklearn.splitting import hold_out
from lddu.sklearn.targets import Target, read_target
from lddu.structs import Batch


class LDDUClassifier(LabelClassifier):
    """The model of this library as a multi-label or binary classifier.

    `fit` holds out a part of the rows, which chooses the epoch and fits the calibrator and the
    thresholds, and trains on the others.

    Args:
      preset: Name of a preset of `lddu.config`: "small", "default", "tiny" or "paper".
      changes: Changes of that configuration, as `lddu.config.replace` takes them: path of a field
        -> value, such as {"train.learning_rate": 1e-3, "calibration.method": "choose"}.
      members: Number of ensemble members.
      epochs: Largest number of passes over the training rows; None takes that of the preset.
      validation_fraction: Share of the rows (of the groups, where there are any) that is held out.
      thresholds: Thresholds of `predict`: fitted for micro-F1 and "shared" by all labels, fitted
        for the F1 of each label ("per_label"), or None for one half.
      random_state: Seed of the held-out part and of training: an int, a NumPy RandomState, or None
        for another result in each call.
      folder: Run folder, as in `lddu.fit`, for one fit only; None keeps nothing.
      verbose: Whether to show a progress bar.

    Attributes:
      predictor_: The `lddu.Predictor`, with all that it offers beyond probabilities.
      classes_: (2,) classes of a binary y; positions 0 to C - 1 of C labels.
      thresholds_: (C,) thresholds of `predict`, None for one half.
      n_features_in_: Width of the table; only if X was a table.
      feature_names_in_: Names of its columns; only if X was a data frame with names.

    Example:
      >>> import numpy as np
      >>> from lddu.sklearn import LDDUClassifier
      >>> rng = np.random.default_rng(0)
      >>> X = rng.normal(size=(60, 3))
      >>> y = (X[:, :2] > 0).astype(int)
      >>> model = LDDUClassifier(preset="tiny", epochs=1, random_state=0)
      >>> model.fit(X, y).predict_proba(X).shape  # doctest: +SKIP
      (60, 2)
    """

    def __init__(
        self,
        *,
        preset: str = "small",
        changes: Mapping[str, Any] | None = None,
        members: int = 1,
        epochs: int | None = None,
        validation_fraction: float = 0.2,
        thresholds: Thresholds | None = None,
        random_state: Any = None,
        folder: str | os.PathLike | None = None,
        verbose: bool = False,
    ):
        self.preset = preset
        self.changes = changes
        self.members = members
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.thresholds = thresholds
        self.random_state = random_state
        self.folder = folder
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> "LDDUClassifier":
        """Trains and calibrates.

        Args:
          X: N samples: an (N, features) table, each row of which becomes a sequence of one step;
            or `Rows`, a mapping as `Rows` takes it, or a `Batch`, whose labels are ignored.
          y: (N, C) labels in {0, 1}, NaN where unknown, or (N,) classes, of which there are two.
          sample_weight: (N,) weights of the rows in training, zero or more; rows of weight zero
            are left out. None weights all equally, or as a `Batch` says.
          groups: (N,) group of each row; rows of one group, such as windows of one film, are held
            out together. None makes every row a group of its own.

        Returns:
          The fitted classifier.

        Raises:
          ValueError: If X and y do not fit together, or a parameter is not allowed; says how.
        """
        self._check_thresholds()
        batch = self._batch(X, first=True)
        weight = batch.weight if sample_weight is None else sample_weight
        target, counted = read_target(Rows(batch), y, weight, groups)
        batch = take(batch.replace(labels=None, weight=None), counted).replace(
            labels=target.labels.astype(np.float32),
            weight=None if target.weight is None else target.weight.astype(np.float32),
        )
        random = check_random_state(self.random_state)
        split_seed, seed = random.randint(np.iinfo(np.int32).max, size=2)
        train, valid = hold_out(batch.size, self.validation_fraction, target.groups, split_seed)
        held_out, groups = take(batch, valid), target.take(valid).groups
        predictor = train_only(
            self._config(batch, target, int(seed)),
            take(batch, train),
            held_out,
            folder=self.folder,
            progress=self.verbose,
        )
        self.predictor_ = calibrate(predictor, held_out, groups)
        self.thresholds_ = None if self.thresholds is None else self.predictor_.thresholds
        self.classes_, self._binary = target.classes, target.binary
        return self

    def _logits(self, X: Any) -> np.ndarray:
        prediction = self.predictor_.predict(self._batch(X), fields=("logits",))
        return np.asarray(prediction.logits, np.float64)

    def _batch(self, X: Any, first: bool = False) -> Batch:
        """Returns samples in any form as a `Batch`; `first` notes the width of a table."""
        if is_mapping(X):
            known = () if first else self.predictor_.config.model.modalities
            return to_batch(X, {m.name: m.features for m in known})
        if isinstance(X, Batch | Rows):
            return Rows(X).batch
        return table_batch(validate_data(self, X, dtype=np.float32, reset=first))

    def _config(self, batch: Batch, target: Target, seed: int) -> Config:
        if self.preset not in PRESETS:
            raise ValueError(f"preset={self.preset!r}; choose one of {', '.join(PRESETS)}")
        shapes = {name: m.values.shape[:0:-1] for name, m in batch.modalities.items()}
        changes = {"train.members": self.members, "train.seed": seed}
        if self.epochs is not None:
            changes["train.epochs"] = self.epochs
        if self.thresholds is not None:
            changes["calibration.thresholds"] = self.thresholds
        config = PRESETS[self.preset](shapes, target.names)
        return replace(config, {**changes, **(self.changes or {})})

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.dict = True
        return tags
