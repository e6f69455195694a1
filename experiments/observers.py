"""Does the model doubt where people disagree, and where it errs? studyforrest, nine observers.

    python experiments/studyforrest.py --source windows     # first: trains the members
    python experiments/observers.py

Reads every ensemble member's predictions for the test and validation blocks of each fold, and asks
of the pooled test predictions:

- calibration: ECE before and after, beside what true probabilities would show if windows were
  independent, and if those of a block depended on each other as far as possible (noise floors);
  and the root mean squared calibration error with its interval;
- disagreement: rank correlation of predicted aleatoric uncertainty with the variance of the nine
  observers' votes, per label;
- errors: how well each uncertainty ranks wrong decisions above right ones (AUROC).

Calibration and thresholds are fitted in each fold's validation blocks. Intervals draw whole blocks
of 120 s, since neighbouring windows are alike.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import tyro
from scipy.stats import spearmanr
from windows_file import windows_file

from lddu import calibration, metrics, plots, uncertainty
from lddu.calibration import thresholds
from lddu.data import studyforrest
from lddu.data.studyforrest import TASK_LABELS, Windows
from lddu.data.studyforrest.windows import block_of
from lddu.runs.results import write_results
from lddu.runs.tables import align

METHODS = ("none", "temperature", "platt", "isotonic", "choose")


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      run: Run folder of `studyforrest.py`.
      data: `windows.npz`; LDDU_DATA tells where it is if not given.
      resamples: Number of bootstrap resamples.
      out: Folder for results and figure.
    """

    run: Path = Path("runs/studyforrest")
    data: Path | None = None
    resamples: int = 1000
    out: Path = Path("runs/observers")


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Test rows of all folds.

    Attributes:
      rows: (N,) indices of the windows.
      members: (K, N, C) members' probabilities before calibration.
      probs: Method -> (N, C) the ensemble's probabilities after it.
      thresholds: (N, C) decision thresholds for uncalibrated probabilities.
      chosen: The calibrator that "choose" took in each fold.
    """

    rows: np.ndarray
    members: np.ndarray
    probs: dict[str, np.ndarray]
    thresholds: np.ndarray
    chosen: list[str]


def main(args: Args) -> None:
    """Runs the experiment."""
    began = time.perf_counter()
    members = args.run / "members.npz"
    if not members.is_file():
        raise SystemExit(f"there is no {members}; run `python experiments/studyforrest.py` first")
    windows = studyforrest.load_windows(windows_file(args.data))
    pooled = pool(windows, members)
    blocks = block_of(windows.start, windows.end)[pooled.rows]
    labels = studyforrest.task(windows)[pooled.rows] > 0.5

    # ---- calibration ----------------------------------------------------------------------------
    table = {}
    for method, probs in pooled.probs.items():
        floor = metrics.ece_noise_floor(probs)
        whole = metrics.ece_noise_floor(probs, groups=blocks)
        error = metrics.ece_interval(probs, labels, groups=blocks)
        ece = metrics.ece(probs, labels)
        nll = metrics.bootstrap(metrics.nll, probs, labels, resamples=200, groups=blocks)
        table[method] = {
            "nll": nll.estimate,
            "ece": ece,
            "ece_noise_floor": floor.mean,
            "ece_above_floor": ece - floor.mean,
            "block_noise_floor": whole.mean,
            "rms_error": error.estimate,
            "rms_low": error.low,
            "rms_high": error.high,
        }
    columns = list(table["none"])
    rows = [["calibration", *columns]]
    rows += [[m, *(f"{row[c]:.4f}" for c in columns)] for m, row in table.items()]
    print(f"{align(rows, markdown=True)}\n\nchoose took, by fold: {pooled.chosen}\n")

    # ---- disagreement of the observers ----------------------------------------------------------
    share = votes(windows)[pooled.rows]
    disagreement = share * (1 - share)
    aleatoric = np.asarray(uncertainty.decompose_variance(pooled.members).aleatoric)
    rows = [["label", "Spearman", "95 % interval", "clear of zero"]]
    for c, label in enumerate(TASK_LABELS):
        interval = metrics.bootstrap(
            lambda a, b: spearmanr(a, b)[0],
            aleatoric[:, c],
            disagreement[:, c],
            resamples=args.resamples,
            groups=blocks,
        )
        table[f"disagreement {label}"] = interval._asdict()
        text = f"[{interval.low:.3f}, {interval.high:.3f}]"
        rows.append([label, f"{interval.estimate:.3f}", text, "yes" if interval.low > 0 else "no"])
    print(align(rows, markdown=True))

    # ---- errors ---------------------------------------------------------------------------------
    probs = pooled.probs["none"]
    wrong = metrics.threshold(probs, pooled.thresholds) != labels
    usual = 1 - np.maximum(probs, 1 - probs)
    candidates = {
        "1 - max(p, 1 - p)": usual,
        "risk of the decision": np.asarray(uncertainty.decision_risk(probs, pooled.thresholds)),
        "aleatoric": aleatoric,
        "epistemic": np.asarray(uncertainty.decompose_variance(pooled.members).epistemic),
        "mutual information": np.asarray(uncertainty.decompose_entropy(pooled.members).epistemic),
    }
    rows = [["uncertainty", "AUROC of errors", "minus 1 - max(p, 1 - p)", "95 % interval"]]
    for name, values in candidates.items():
        difference = metrics.paired_bootstrap(
            error_auroc, usual, values, wrong, resamples=args.resamples, groups=blocks
        )
        auroc = error_auroc(values, wrong)
        table[f"errors {name}"] = {"auroc": auroc, **difference._asdict()}
        text = f"[{difference.low:+.4f}, {difference.high:+.4f}]"
        rows.append([name, f"{auroc:.4f}", f"{difference.estimate:+.4f}", text])
    print("\n" + align(rows, markdown=True))

    seconds = time.perf_counter() - began
    write_results(args.out, table, {}, seconds)
    draw(args.out / "observers.png", aleatoric, share)
    print(f"\n{seconds:.0f} s; figure: {args.out / 'observers.png'}")


def pool(windows: Windows, path: Path) -> Pooled:
    """Calibrates on each fold's validation blocks, and pools the test blocks."""
    labels = studyforrest.task(windows)
    blocks = block_of(windows.start, windows.end)
    rows, members, cuts, chosen = [], [], [], []
    probs: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    with np.load(path) as stored:
        for r in stored["folds"]:
            fold = studyforrest.folds(windows)[r]
            valid, test = stored[f"valid_{r}"], stored[f"test_{r}"]
            logits = calibration.logit(valid.mean(0))
            for method in METHODS:
                if method == "choose":
                    choice = calibration.choose(
                        logits, labels[fold.valid], groups=blocks[fold.valid]
                    )
                    state = choice.state
                    chosen.append(choice.name)
                else:
                    state = calibration.CALIBRATORS[method](logits, labels[fold.valid])
                calibrated = calibration.apply(state, calibration.logit(test.mean(0)))
                probs[method].append(1 / (1 + np.exp(-np.asarray(calibrated, float))))
            rows.append(fold.test)
            members.append(test)
            cut = thresholds.fit_shared(valid.mean(0), labels[fold.valid])
            cuts.append(np.full((len(fold.test), len(TASK_LABELS)), cut))
    return Pooled(
        np.concatenate(rows),
        np.concatenate(members, axis=1),
        {method: np.concatenate(parts) for method, parts in probs.items()},
        np.concatenate(cuts),
        chosen,
    )


def votes(windows: Windows) -> np.ndarray:
    """Returns the share of the nine observers who marked each label, (N, C)."""
    columns = [windows.emotions.index(label) for label in TASK_LABELS]
    return windows.votes[:, :, columns].mean(1)


def error_auroc(values: np.ndarray, wrong: np.ndarray) -> float:
    """Computes the AUROC of wrong decisions by an uncertainty, all labels pooled."""
    return metrics.error_detection(wrong.ravel(), values.ravel()).auroc


def draw(path: Path, aleatoric: np.ndarray, share: np.ndarray) -> None:
    """Draws the mean predicted uncertainty by the number of observers who saw the emotion."""
    figure = plots.Figure(figsize=(7, 4), layout="constrained")
    count = np.rint(9 * share).astype(int)
    curves = {
        label: [
            aleatoric[count[:, c] == k, c].mean() if (count[:, c] == k).sum() > 20 else np.nan
            for k in range(10)
        ]
        for c, label in enumerate(TASK_LABELS)
    }
    ax = plots.mean_lines(
        range(10),
        curves,
        "observers of nine who saw the emotion (where more than 20 windows)",
        "mean predicted aleatoric variance",
        "Predicted uncertainty and the observers",
        figure.subplots(),
    )
    ax.set_xticks(range(10))
    figure.savefig(path, dpi=150, facecolor="white")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
