"""The picture of the README: what the model knows about its own uncertainty.

    python experiments/picture.py

The model of `demo.py` is trained on synthetic data whose law is known, and its test predictions are
compared with that law. Left: the noisier a modality, the less it counts. Middle: probabilities
against those of the exact posterior. Right: the error among the decisions that are kept when the
least certain ones are left to a human.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro

import lddu
from lddu import config, metrics, plots, uncertainty
from lddu.data import synthetic
from lddu.runs import baselines
from lddu.runs.demo import CHANGES, splits


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Number of training samples.
      epochs: Number of passes over them.
      out: The picture to write.
    """

    samples: int = 20_000
    epochs: int = 5
    out: Path = Path("docs/picture.png")


def main(args: Args) -> None:
    """Trains the model and draws the picture."""
    train, valid, test = splits(args.samples, seed=0)
    labels = test.batch.labels > 0.5

    cfg = config.small(train.shapes(), train.config.labels)
    cfg = config.replace(cfg, {**CHANGES, "train.epochs": args.epochs})
    predictor = lddu.fit(cfg, train.batch, valid.batch)
    prediction = predictor.predict(test.batch)
    exact = synthetic.bayes_posterior(test)
    logistic = baselines.logistic(train.batch, valid.batch)(test.batch)

    figure = plots.Figure(figsize=(11, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 0.82, 1))

    levels, weights = test.config.noise, prediction.weights.mean(1)
    curves = {}
    for m, name in enumerate(cfg.model.modality_names):
        present = test.batch.present[name]
        curves[name] = [weights[present & (test.noise[:, m] == s), m].mean() for s in levels]
    plots.mean_lines(
        np.log2(levels), curves, "true noise", "mean weight", "Noisy modalities count less", left
    )
    left.set_xticks(np.log2(levels), [f"{s:g}" for s in levels])
    left.set_ylim(0)

    title = "Probabilities follow the exact posterior"
    plots.agreement(exact, prediction.probs, "exact posterior", "model", title, middle)

    curves = {}
    for name, probs in {
        "logistic regression": logistic,
        "lddu": prediction.probs,
        "exact posterior": exact,
    }.items():
        wrong, risk = (probs > 0.5) != labels, uncertainty.decision_risk(probs, 0.5)
        curves[name] = metrics.risk_coverage(wrong.ravel(), np.ravel(risk))
    plots.risk_coverage(curves, right)
    right.set_title("Errors lie among the uncertain decisions")
    right.set(xlabel="share of decisions kept", ylabel="error among those kept")
    right.set(xlim=(0.05, 1), ylim=(0, 0.13))
    right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(0, 0.42))
    for ax in (left, middle, right):
        ax.title.set_size(10)

    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=160, facecolor="white")
    print(args.out)


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
