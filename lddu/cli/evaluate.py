"""`lddu evaluate`: the scores of a trained model on other data, with intervals."""

from lddu.cli.arguments import Data, MaybeFile, Run


def evaluate(
    run: Run,
    data: Data,
    split: str = "test",
    resamples: int = 1000,
    level: float = 0.95,
    out: MaybeFile = None,
) -> None:
    """Scores a run's calibrated model on labelled data, with bootstrap intervals.

    Groups of the data, where there are any, are resampled as a whole, and weights of its samples
    count.

    Example: lddu evaluate runs/mine mydata --split test

    Args:
      run: A run folder, or one that `Predictor.save` wrote.
      data: Folder or table in the open format, with labels.
      split: The split to score: all, train, valid or test.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the intervals.
      out: A JSON file for the figures too.
    """
    import functools
    import json

    from lddu import files, metrics
    from lddu.cli import datasets
    from lddu.cli.folders import load_predictor
    from lddu.runs.tables import align

    predictor = load_predictor(run)
    rows = datasets.read(data, split, predictor.config.model, labelled=True)
    probs = predictor.predict(rows.batch, fields=("probs",)).probs
    scores = functools.partial(metrics.summarise, thresholds=predictor.thresholds)
    given = (probs, rows.batch.labels)
    options = {"level": level, "groups": rows.groups, "weights": rows.batch.weight}
    intervals = dict(metrics.bootstrap(scores, *given, resamples=resamples, **options))
    intervals["rms_calibration_error"] = metrics.ece_interval(*given, **options)
    table = [["metric", "value", f"{level:.0%} interval"]]
    for name, x in intervals.items():
        ends = "–" if x.low != x.low else f"[{x.low:.4f}, {x.high:.4f}]"
        table.append([name, f"{x.estimate:.4f}", ends])
    weighted = "" if rows.batch.weight is None else ", weighted"
    print(
        f"{len(rows.ids):,} samples of {data}, {split}{weighted}; decisions at the run's "
        "thresholds\n"
    )
    print(align(table))
    if out is not None:
        figures = {
            name: {"estimate": x.estimate, "low": x.low, "high": x.high}
            for name, x in intervals.items()
        }
        files.write_text(out, json.dumps(figures, indent=2) + "\n")
