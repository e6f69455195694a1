"""Test predictions of trained models, under two protocols.

"validation" is the honest one: validation data choose the epoch, the calibrator and the thresholds,
and the test split is scored once. "official" is that of the official LDDU code, which chooses on
the test split; it exists to compare with figures published under it, and says so in the name of
every model.
"""

from typing import Any, NamedTuple

import numpy as np

from lddu.calibration.thresholds import fit_shared
from lddu.predictor import Members, Predictor, calibrate
from lddu.predictor.network import empty_prediction
from lddu.runs import baselines, detail
from lddu.runs.detail import Detail
from lddu.runs.predictions import ModelPredictions
from lddu.structs import Batch


class Evaluation(NamedTuple):
    """What a trained ensemble of K members predicts for the test samples.

    Attributes:
      predictor: The ensemble; calibrated under the protocol "validation".
      models: Name -> test predictions: the single members as K runs of "lddu", and the ensemble.
      main: The name of the model that counts.
      test: The members' predictions for the test samples before calibration, with `weights`.
      valid: Those for the validation samples; None under the protocol "official".
      detail: What the main model tells of the test samples beyond their probabilities.
    """

    predictor: Predictor
    models: dict[str, ModelPredictions]
    main: str
    test: Members
    valid: Members | None
    detail: Detail


def by_validation(predictor: Predictor, valid: Batch, test: Batch) -> Evaluation:
    """Calibrates members and ensemble on validation samples, and predicts the test samples.

    Each member sees the validation and the test samples once.

    Args:
      predictor: An ensemble, whose epochs were chosen on `valid`.
      valid: Validation rows with hard labels.
      test: Test rows; their labels are not used.

    Returns:
      An `Evaluation` of the models "lddu" and, of several members, "lddu_ensemble", and of both
      calibrated.
    """
    on_valid = predictor.members(valid)
    on_test = predictor.members(test, fields=detail.fields(test.size))
    ensemble = calibrate(predictor, valid, members=on_valid)
    single = []
    for k in range(len(on_valid.logits)):
        member = calibrate(predictor.member(k), valid, members=on_valid.member(k))
        single.append((member, on_valid.member(k), on_test.member(k)))
    models = {}
    for name, runs in _named(single, (ensemble, on_valid, on_test)).items():
        for suffix, calibrated in (("", False), ("_calibrated", True)):
            valid_probs = [p.combine(v, calibrated=calibrated).probs for p, v, _ in runs]
            test_probs = [p.combine(t, calibrated=calibrated).probs for p, _, t in runs]
            models[name + suffix] = at_shared_thresholds(
                np.stack(valid_probs), valid.labels, np.stack(test_probs)
            )
    told = detail.of_members(ensemble, on_test, test)
    return Evaluation(ensemble, models, list(models)[-1], with_weights(on_test), on_valid, told)


def by_test(predictor: Predictor, test: Batch) -> Evaluation:
    """Predicts the test samples as the official code does, which chooses on them.

    Args:
      predictor: An ensemble, whose epochs were chosen on `test`.
      test: Test rows with hard labels.

    Returns:
      An `Evaluation` of members and ensemble, with all thresholds one half and with thresholds
      chosen on the test labels.
    """
    on_test = predictor.members(test, fields=detail.fields(test.size))
    single = [on_test.member(k) for k in range(len(on_test.logits))]
    models = {}
    for name, runs in _named(single, on_test).items():
        probs = np.stack([predictor.combine(run, calibrated=False).probs for run in runs])
        half = ModelPredictions(probs, np.full((len(probs), probs.shape[-1]), 0.5))
        best = at_shared_thresholds(probs, test.labels, probs)
        models[f"{name} [epoch chosen on TEST]"] = half
        models[f"{name} [epoch and threshold chosen on TEST]"] = best
    told = detail.of_members(predictor, on_test, test, calibrated=False)
    return Evaluation(predictor, models, list(models)[-2], with_weights(on_test), None, told)


def with_weights(members: Members) -> Members:
    """Returns members' predictions that keep only the weights beside the logits."""
    rest = empty_prediction().replace(weights=members.rest.weights)
    return members._replace(rest=rest)


def _named(single: list[Any], ensemble: Any) -> dict[str, list[Any]]:
    """Returns name -> runs of the models: an ensemble of one is that one."""
    return {"lddu": single} | ({"lddu_ensemble": [ensemble]} if len(single) > 1 else {})


def of_baselines(
    train: Batch, valid: Batch, test: Batch, trained: bool = True
) -> dict[str, ModelPredictions]:
    """Fits the baselines, and predicts the test samples with thresholds from validation.

    Args:
      train: Training rows with hard labels.
      valid: Validation rows with hard labels.
      test: Test rows; their labels are not used.
      trained: Whether to fit logistic regression and a random forest; without them, only the prior
        is there.

    Returns:
      Name -> predictions.
    """
    models = {"prior": baselines.prior(train)}
    if trained:
        models["logistic"] = baselines.logistic(train, valid)
        models["forest"] = baselines.forest(train)
    return {
        name: at_shared_thresholds(predict(valid)[None], valid.labels, predict(test)[None])
        for name, predict in models.items()
    }


def at_shared_thresholds(
    valid_probs: np.ndarray, valid_labels: np.ndarray, test_probs: np.ndarray
) -> ModelPredictions:
    """Decides test predictions at the threshold with the highest micro-F1 on validation samples.

    Args:
      valid_probs: (S, V, C) probabilities from S runs of one model.
      valid_labels: (V, C) hard labels.
      test_probs: (S, N, C) probabilities from the same runs.

    Returns:
      The test predictions, with one threshold per run, shared by all labels.
    """
    cuts = [fit_shared(probs, valid_labels) for probs in valid_probs]
    thresholds = np.repeat(np.reshape(cuts, (-1, 1)), test_probs.shape[-1], axis=1)
    return ModelPredictions(test_probs, thresholds)
