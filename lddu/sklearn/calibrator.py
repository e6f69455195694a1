"""`MultiLabelCalibrator`: calibrators, thresholds and prediction sets for any classifier."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, _safe_indexing, check_random_state, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from lddu.calibration import CALIBRATORS, Calibrator, Choice, apply, choose, conformal, thresholds
from lddu.config import CalibrationMethod
from lddu.metrics import checks
from lddu.sklearn.crossfit import cross_fitted, splitter
from lddu.sklearn.decisions import LabelClassifier, Thresholds
from lddu.sklearn.responses import ResponseMethod, label_logits
from lddu.sklearn.routing import route, rows_of
from lddu.sklearn.rows import without_mappings
from lddu.sklearn.splitting import hold_out
from lddu.sklearn.targets import Target, read_target

Method = CalibrationMethod | Callable[..., Calibrator]
_FOLDS = 5  # of the choice among calibrators


class Control(NamedTuple):
    """Rows held out for prediction sets.

    Attributes:
      probs: (N, C) calibrated probabilities.
      labels: (N, C) labels in {0, 1}.
      groups: (N,) groups of the rows, or None.
    """

    probs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None


class MultiLabelCalibrator(MetaEstimatorMixin, LabelClassifier):
    """Calibrates any multi-label or binary classifier.

    `fit` predicts every row by a copy of the classifier that was fitted without the fold of the
    row, fits one calibrator for all labels together on these predictions, and fits the classifier
    anew on all rows. So the calibrator corrects the classifier as trained on a part of the rows;
    it is applied to one trained on all of them.

    Args:
      estimator: A classifier with `predict_proba` or `decision_function`, whose output is a list of
        C arrays (N, 2) or an array (N, C).
      method: Calibrator: a name from `lddu.calibration.CALIBRATORS`; "choose", the simplest that is
        best within the noise (`lddu.calibration.choose`); or a function
        `fit(logits, labels, weights=...)` of that package.
      cv: Folds: their number (shuffled; whole groups where there are groups, stratified where y
        is binary); a splitter that predicts every row once; or "prefit" for a fitted classifier,
        which is used as it is, like a `FrozenEstimator`, and must not have seen the rows.
      thresholds: Thresholds of `predict`, fitted on the calibrated predictions: for micro-F1 and
        "shared" by all labels, for the F1 of each label ("per_label"), or None for one half.
      control_fraction: Share of the rows (of the groups, where there are any) that is held out for
        `predict_sets` and used for nothing else; None holds out none.
      response_method: Output to calibrate: "predict_proba", "decision_function", or "auto" for the
        first that the classifier has.
      random_state: Seed of folds and of the held-out part: an int, a NumPy RandomState, or None
        for another result in each call.

    Attributes:
      estimator_: The classifier, fitted on all rows that are not held out.
      calibrator_: State of `lddu.calibration.apply`.
      choice_: Scores of all candidates with method "choose"; else None.
      classes_: (2,) classes of a binary y; positions 0 to C - 1 of C labels.
      thresholds_: (C,) thresholds of `predict`, None for one half.
      control_: Probabilities, labels and groups of the rows held out; else None.
      n_features_in_: Number of features, if the classifier knows it.
      feature_names_in_: Names of the features, if the classifier knows them.

    Example:
      >>> from sklearn.datasets import make_multilabel_classification
      >>> from sklearn.ensemble import RandomForestClassifier
      >>> from lddu.sklearn import MultiLabelCalibrator
      >>> X, y = make_multilabel_classification(200, n_classes=3, random_state=0)
      >>> forest = RandomForestClassifier(10, random_state=0)
      >>> model = MultiLabelCalibrator(forest, method="temperature", cv=3, random_state=0)
      >>> model.fit(X, y).predict_proba(X).shape
      (200, 3)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        method: Method = "choose",
        cv: Any = 5,
        thresholds: Thresholds | None = None,
        control_fraction: float | None = None,
        response_method: ResponseMethod = "auto",
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.thresholds = thresholds
        self.control_fraction = control_fraction
        self.response_method = response_method
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, **fit_params: Any
    ) -> "MultiLabelCalibrator":
        """Fits classifier, calibrator and thresholds.

        Args:
          X: N samples, as the classifier takes them; a mapping of modalities or a `Batch` too.
          y: (N, C) labels in {0, 1}, or (N,) classes, of which there are two. NaN marks unknown
            labels, for a classifier that takes them (or is fitted already).
          sample_weight: (N,) weights of the rows, zero or more, for the calibrator, the thresholds
            and, if it takes them, the classifier; rows of weight zero are left out. The rows held
            out for `predict_sets` all count alike.
          groups: (N,) group of each row: rows of one group, such as windows of one film, stay
            together in every split, and the guarantee of `predict_sets` is that of a new group.
            The splitter and the classifier get them if they take them.
          **fit_params: Arguments of the classifier's `fit`; arrays with one entry per row are cut
            to the rows of each fold.

        Returns:
          The fitted estimator.

        Raises:
          ValueError: If X and y do not fit together, or a parameter is not allowed; says how.
        """
        self._check_thresholds()
        (X,) = indexable(without_mappings(X))
        target, counted = read_target(X, y, sample_weight, groups)
        X, fit_params = _safe_indexing(X, counted), rows_of(fit_params, counted, len(np.asarray(y)))
        random = check_random_state(self.random_state)
        control_seed, fold_seed, choice_seed = random.randint(np.iinfo(np.int32).max, size=3)

        self.control_ = None
        if self.control_fraction is not None:
            count = len(target.y)
            rows, control = hold_out(count, self.control_fraction, target.groups, control_seed)
            held_out, held_out_target = _safe_indexing(X, control), target.take(control)
            X, target = _safe_indexing(X, rows), target.take(rows)
            fit_params = rows_of(fit_params, rows, count)

        self.classes_, self._binary = target.classes, target.binary
        logits = self._fit_classifier(X, target, fold_seed, fit_params)
        self.calibrator_, self.choice_ = self._fit_calibrator(logits, target, choice_seed)
        self.thresholds_ = self._fit_thresholds(logits, target)
        if self.control_fraction is not None:
            probs = expit(self._logits(held_out))
            self.control_ = Control(probs, held_out_target.labels, held_out_target.groups)
        return self

    def risk_control(self, level: float = 0.1) -> conformal.RiskControl:
        """Fits the threshold of `predict_sets` on the rows that were held out.

        Args:
          level: False-negative rate allowed, in (0, 1).

        Returns:
          The state of `lddu.calibration.conformal`; its `found` is False if there were too few rows
          for the level, so that every set holds every label.

        Raises:
          ValueError: If no rows were held out, or `level` is not in (0, 1).
        """
        check_is_fitted(self)
        if self.control_ is None:
            raise ValueError(
                "prediction sets need rows that nothing else was fitted on: set control_fraction, "
                "such as 0.2, and fit again"
            )
        probs, labels, groups = self.control_
        return conformal.fit_false_negative_rate(probs, labels, level, groups=groups)

    def predict_sets(self, X: Any, level: float = 0.1) -> np.ndarray:
        """Predicts sets of labels that miss at most a share of the true ones.

        The threshold is fitted on the rows held out by `control_fraction`, on which neither the
        classifier nor the calibrator was fitted. For any classifier, the share of a new sample's
        true labels that its set misses is at most `level` on average: over draws of the rows held
        out and of the sample, if these are exchangeable, and over samples that have a true label.
        With groups, the same holds for a sample drawn at random from a new group. It is a promise
        about the average, not about a label, a kind of sample or one given fit, and it is lost if
        `level` is chosen by the results on the same rows.

        Args:
          X: N samples, as in `fit`.
          level: False-negative rate allowed, in (0, 1).

        Returns:
          (N, C) bool, whether each label is in each sample's set.

        Raises:
          ValueError: If no rows were held out, or `level` is not in (0, 1).

        References:
          Angelopoulos et al., "Conformal Risk Control", ICLR 2024.
        """
        return conformal.apply(self.risk_control(level), self._probs(X))

    def get_metadata_routing(self) -> MetadataRouter:
        """Returns which arguments of `fit` go to the classifier and to the splitter.

        Returns:
          A router for the estimator itself, `estimator` and `cv`.
        """
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        to_split = MethodMapping().add(caller="fit", callee="split")
        return (
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(estimator=self.estimator, method_mapping=to_fit)
            .add(splitter=self.cv, method_mapping=to_split)
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = copy.copy(get_tags(self.estimator).input_tags)
        return tags

    def _fit_classifier(
        self, X: Any, target: Target, seed: int, fit_params: dict[str, Any]
    ) -> np.ndarray:
        """Fits `estimator_`, and returns the (N, C) logits to calibrate."""
        if self.cv == "prefit" or isinstance(self.estimator, FrozenEstimator):
            check_is_fitted(self.estimator)
            self.estimator_ = self.estimator
            logits = self._response(self.estimator, X)
        else:
            params, split_params = route(self, target.weight, target.groups, fit_params)
            splits = splitter(self.cv, target, seed).split(X, target.y, **split_params)
            logits = cross_fitted(self.estimator, X, target, splits, params, self._response)
            self.estimator_ = clone(self.estimator).fit(X, target.y, **params)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return logits

    def _fit_calibrator(
        self, logits: np.ndarray, target: Target, seed: int
    ) -> tuple[Calibrator, Choice | None]:
        data = (logits, target.labels)
        if self.method == "choose":
            units = len(logits) if target.groups is None else len(np.unique(target.groups))
            folds = min(_FOLDS, units)
            choice = choose(*data, folds=folds, groups=target.groups, seed=seed, **_weights(target))
            return choice.state, choice
        if callable(self.method):
            return self.method(*data, **_weights(target)), None
        checks.choice("method", self.method, CalibrationMethod)
        return CALIBRATORS[self.method](*data, **_weights(target)), None

    def _fit_thresholds(self, logits: np.ndarray, target: Target) -> np.ndarray | None:
        if self.thresholds is None:
            return None
        data = expit(self._calibrated(logits)), target.labels
        shared = thresholds.fit_shared(*data, **_weights(target))
        if self.thresholds == "shared":
            return np.broadcast_to(shared, target.labels.shape[1:])
        return thresholds.fit_per_label(*data, fallback=float(shared), **_weights(target))

    def _response(self, estimator: Any, X: Any) -> np.ndarray:
        labels = 1 if self._binary else len(self.classes_)
        return label_logits(estimator, X, labels, self.response_method)

    def _calibrated(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(apply(self.calibrator_, logits), np.float64)

    def _logits(self, X: Any) -> np.ndarray:
        return self._calibrated(self._response(self.estimator_, without_mappings(X)))


def _weights(target: Target) -> dict[str, np.ndarray]:
    return {} if target.weight is None else {"weights": target.weight}
