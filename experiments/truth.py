"""Is the uncertainty true? The model against the exact law of the synthetic data.

    python experiments/truth.py

Three questions, on test samples: how far are the model's probabilities from the exact posterior
(KL divergence), does the variance that the model gives a modality follow the modality's true noise,
and does the weight of a modality fall as its noise rises? The model is that of `demo.py`; the
spread is over seeds of data and model.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import tyro
from scipy.stats import spearmanr

import lddu
from lddu import config, metrics, plots, uncertainty
from lddu.data import synthetic
from lddu.runs.demo import CHANGES, splits
from lddu.runs.results import write_results
from lddu.runs.scores import aggregate
from lddu.runs.tables import align, format_stat


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      samples: Number of training samples.
      epochs: Number of passes over them.
      seeds: Number of repetitions, each with data and a model of its own.
      out: Run folder; runs killed there continue.
    """

    samples: int = 20_000
    epochs: int = 5
    seeds: int = 3
    out: Path = Path("runs/truth")


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    scores, weights = [], []
    for seed in range(args.seeds):
        train, valid, test = splits(args.samples, seed)
        cfg = config.small(train.shapes(), train.config.labels)
        cfg = config.replace(cfg, {**CHANGES, "train.epochs": args.epochs, "train.seed": seed})
        predictor = lddu.fit(cfg, train.batch, valid.batch, folder=args.out / f"seed-{seed}")
        prediction = predictor.predict(test.batch)
        exact = synthetic.bayes_posterior(test)
        names = cfg.model.modality_names
        by_level = weight_by_noise(prediction, test, names)
        weights.append(by_level)
        scores.append(
            {
                "kl_to_bayes": float(bernoulli_kl(exact, prediction.probs).mean()),
                **{f"spearman_{m}": r for m, r in noise_correlation(prediction, test).items()},
                "weight_falls": float(all((np.diff(by_level[m]) < 0).all() for m in names)),
                "nll": metrics.nll(prediction.probs, test.batch.labels),
                "nll_bayes": metrics.nll(exact, test.batch.labels),
                "ece": metrics.ece(prediction.probs, test.batch.labels),
                "ece_noise_floor": metrics.ece_noise_floor(prediction.probs, draws=200).mean,
            }
        )

    table, seconds = {"lddu": aggregate(scores)}, time.perf_counter() - began
    write_results(args.out, table, cfg, seconds)
    draw(args.out / "truth.png", exact, prediction, test, names, weights)
    rows = [["figure", "mean ± spread"]]
    rows += [[name, format_stat(stat, 4)] for name, stat in table["lddu"].items()]
    print(align(rows, markdown=True))
    print(f"\n{seconds:.0f} s; figure: {args.out / 'truth.png'}")


def bernoulli_kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Computes KL(p || q) of each label in nats, with 0 log 0 = 0."""
    q = np.clip(q, 1e-7, 1 - 1e-7)
    parts = (a * np.log(np.where(a > 0, a, 1.0) / b) for a, b in ((p, q), (1 - p, 1 - q)))
    return sum(parts)


def noise_correlation(prediction: lddu.Prediction, test: synthetic.Synthetic) -> dict[str, float]:
    """Correlates the ranks of estimated variance and true noise over samples with the modality."""
    correlation = {}
    for m, (name, _) in enumerate(test.config.features):
        here = np.asarray(test.batch.present[name])
        estimate = np.asarray(uncertainty.latent_noise(prediction.latents[name])).mean(1)
        correlation[name] = float(spearmanr(estimate[here], test.noise[here, m])[0])
    return correlation


def weight_by_noise(
    prediction: lddu.Prediction, test: synthetic.Synthetic, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Returns the mean fusion weight of each modality at each of its noise levels."""
    weight = np.asarray(prediction.weights).mean(1)
    return {
        name: np.array(
            [
                weight[np.asarray(test.batch.present[name]) & (test.noise[:, m] == level), m].mean()
                for level in test.config.noise
            ]
        )
        for m, name in enumerate(names)
    }


def draw(path: Path, exact, prediction, test, names, weights) -> None:
    """Draws probabilities against exact ones, variance against noise, weight against noise."""
    figure = plots.Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    plots.agreement(
        exact, prediction.probs, "exact posterior", "model", "Probability of a label", left
    )
    levels = np.log2(test.config.noise)
    curves = {}
    for m, name in enumerate(names):
        here = np.asarray(test.batch.present[name])
        estimate = np.asarray(uncertainty.latent_noise(prediction.latents[name])).mean(1)
        curves[name] = [
            np.mean(estimate[here & (test.noise[:, m] == level)]) for level in test.config.noise
        ]
    xlabel = "true noise of the modality, log2"
    plots.mean_lines(levels, curves, xlabel, "mean log-variance", "Estimated noise", middle)
    plots.mean_lines(
        levels,
        {name: [run[name] for run in weights] for name in names},
        xlabel,
        "mean fusion weight",
        "Weight of a modality",
        right,
    )
    figure.savefig(path, dpi=150, facecolor="white")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
