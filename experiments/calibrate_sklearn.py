"""What calibration does to classifiers of scikit-learn: scores on test rows before and after.

    python experiments/calibrate_sklearn.py

A random forest and logistic regressions on three sets: `make_multilabel_classification`, pooled
features of the synthetic data, and pooled features of the windows of studyforrest (left out where
there is no `windows.npz`), whose blocks of 120 s stay together.
"""

import dataclasses
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from scipy.special import expit
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lddu import metrics
from lddu.data import studyforrest, synthetic
from lddu.data.studyforrest.windows import block_of
from lddu.runs.baselines import pooled_features
from lddu.runs.tables import align
from lddu.sklearn import MultiLabelCalibrator, label_logits


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Number of training rows of the first two sets; three times as many test.
      trees: Number of trees of the forest.
      method: Calibrator, as `lddu.sklearn.MultiLabelCalibrator` takes it.
      windows: `windows.npz` of studyforrest; None looks for it in LDDU_DATA.
      out: Folder for the table.
    """

    samples: int = 1000
    trees: int = 50
    method: str = "choose"
    windows: Path | None = None
    out: Path = Path("runs/calibrate_sklearn")


class Task(NamedTuple):
    """Rows to fit on, their groups or None, and rows to test on."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    rows = [["set, classifier", "method", "nll", "calibrated", "ece", "calibrated"]]
    for name, task in tasks(args).items():
        for kind, classifier in classifiers(args.trees).items():
            model = MultiLabelCalibrator(classifier, method=args.method, random_state=0)
            model.fit(task.X, task.y, groups=task.groups)
            labels = task.y.shape[1]
            before = expit(label_logits(model.estimator_, task.X_test, labels))
            after = model.predict_proba(task.X_test)
            scores = [
                f"{score(probs, task.y_test):.4f}"
                for score in (metrics.nll, metrics.ece)
                for probs in (before, after)
            ]
            chosen = model.choice_.name if model.choice_ else args.method
            rows.append([f"{name}, {kind}", chosen, *scores])
    table = align(rows, markdown=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(table + "\n")
    print(table)
    print(f"\n{time.perf_counter() - began:.0f} s")


def classifiers(trees: int) -> dict[str, object]:
    """Returns the classifiers by name, not fitted."""
    logistic = OneVsRestClassifier(
        LogisticRegression(C=0.1, solver="liblinear", intercept_scaling=10)
    )
    forest = RandomForestClassifier(trees, min_samples_leaf=2, random_state=0, n_jobs=-1)
    return {"forest": forest, "logistic": make_pipeline(StandardScaler(), logistic)}


def tasks(args: Args) -> dict[str, Task]:
    """Returns the sets by name."""
    n = args.samples
    X, y = make_multilabel_classification(4 * n, n_classes=4, random_state=0)
    train, test = (synthetic.generate(k * n, seed=k).batch for k in (1, 3))
    features, labels = ([f(b) for b in (train, test)] for f in (pooled_features, _labels))
    sets = {
        "multilabel": Task(X[:n], y[:n], None, X[n:], y[n:]),
        "synthetic": Task(features[0], labels[0], None, features[1], labels[1]),
    }
    file = args.windows or Path(os.environ.get("LDDU_DATA", ".")) / "studyforrest" / "windows.npz"
    if file.is_file():
        sets["studyforrest"] = _windows(file)
    return sets


def _windows(file: Path) -> Task:
    """Returns fold 4 of the task of record: training and validation rows together, and test."""
    windows = studyforrest.load_windows(file)
    fold = studyforrest.folds(windows)[studyforrest.STORED_FOLD]
    X, y = pooled_features(windows.batch), studyforrest.task(windows).astype(int)
    fitted = np.concatenate([fold.train, fold.valid])
    blocks = block_of(windows.start, windows.end)[fitted]
    return Task(X[fitted], y[fitted], blocks, X[fold.test], y[fold.test])


def _labels(batch) -> np.ndarray:
    return np.asarray(batch.labels).astype(int)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
