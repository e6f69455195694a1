"""`lddu calibrate`: a run's model again, or any model's table of probabilities."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lddu.cli.arguments import MaybeData, MaybeFile


def calibrate(
    source: Positional[Annotated[Path, arg(metavar="TABLE|RUN")]],
    data: MaybeData = None,
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE|FOLDER")] = None,
    method: str = "choose",
    folds: int = 5,
    seed: int = 0,
    use: MaybeFile = None,
) -> None:
    """Fits a calibrator, and scores the probabilities before and after it.

    For a table of any model's probabilities, the scores after it are cross-validated: each row is
    calibrated by a fit that has not seen it, nor its group. For a run, the model is calibrated
    again on the validation split of DATA.

    Example: lddu calibrate predictions.csv -o calibrator.json

    Args:
      source: A table with columns prob_<label> and <label> (.csv, .tsv or .parquet); or a
        run folder.
      data: With a run folder: a data set in the open format, whose split valid is fitted on.
      out: For a table, a JSON file for the calibrator, or with --use the calibrated table; for a
        run, a new folder for the predictor.
      method: choose (by cross-validation), none, temperature, platt, temperature_per_label, vector,
        beta, isotonic or matrix.
      folds: Number of folds of the cross-validation.
      seed: Seed of the folds.
      use: A calibrator that this command wrote: applies it to the table instead of fitting one.
    """
    if source.is_dir():
        if data is None:
            raise ValueError(f"{source} is a run: name the DATA to calibrate it on, too")
        _run_again(source, data, out, method)
    elif use is not None:
        _apply(source, use, out)
    else:
        _fit(source, out, method, folds, seed)


def _fit(source: Path, out: Path | None, method: str, folds: int, seed: int) -> None:
    from lddu.cli import states
    from lddu.runs import probabilities
    from lddu.runs.recalibration import recalibrate
    from lddu.runs.tables import align

    table = probabilities.read(source)
    result = recalibrate(table, method, folds, seed)
    rows = [["metric", "before", "after"]]
    rows += [[k, f"{result.before[k]:.4f}", f"{result.after[k]:.4f}"] for k in result.before]
    print(f"{len(table.ids):,} rows, {len(table.label_names)} labels; calibrator: {result.method}")
    print(f"after: each row calibrated without its fold of {folds}\n")
    print(align(rows))
    if out is not None:
        print(states.write_calibrator(out, result.state, table.label_names, result.method))


def _apply(source: Path, use: Path, out: Path | None) -> None:
    import numpy as np
    from scipy.special import expit

    from lddu import calibration
    from lddu.cli import states
    from lddu.runs import columns, probabilities

    if out is None:
        raise ValueError("name the file for the calibrated table: -o calibrated.csv")
    table = probabilities.read(source)
    state = states.read_calibrator(use, table.label_names)
    logits = calibration.apply(state, calibration.logit(table.probs))
    probs = expit(np.asarray(logits, np.float64))
    written = {"id": table.ids}
    if table.groups is not None:
        written["group"] = table.groups
    for c, name in enumerate(table.label_names):
        if table.labels is not None:
            written[name] = table.labels[:, c]
        written[probabilities.PREFIX + name] = probs[:, c]
    print(columns.write(out, written))


def _run_again(source: Path, data: Path, out: Path | None, method: str) -> None:
    import dataclasses

    from lddu import config, metrics
    from lddu.cli import datasets
    from lddu.cli.folders import load_predictor
    from lddu.predictor import calibrate as calibrate_again
    from lddu.runs.tables import align

    if out is None:
        raise ValueError("name a new folder for the calibrated predictor: -o calibrated")
    predictor = load_predictor(source)
    cfg = config.replace(predictor.config, {"calibration.method": method})
    rows = datasets.read(data, "valid", cfg.model, labelled=True)
    members = predictor.members(rows.batch)
    again = calibrate_again(
        dataclasses.replace(predictor, config=cfg), rows.batch, rows.groups, members=members
    )
    scored = {
        "uncalibrated": predictor.combine(members, calibrated=False).probs,
        "as it was": predictor.combine(members).probs,
        "now": again.combine(members).probs,
    }
    scores = (metrics.nll, metrics.brier, metrics.ece)
    table = [["metric", *scored]]
    for score in scores:
        values = [f"{score(probs, rows.batch.labels):.4f}" for probs in scored.values()]
        table.append([score.__name__, *values])
    chosen = "" if again.choice is None else f" ({again.choice.name})"
    print(f"{method}{chosen}, fitted and scored on the {len(rows.ids):,} rows of the split valid\n")
    print(align(table))
    print(again.save(out))
