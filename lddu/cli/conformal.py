"""`lddu conformal`: label sets with a guarantee, for any model's table of probabilities."""

from lddu.cli.arguments import Out, Table


def conformal(
    table: Table,
    out: Out,
    false_negative_rate: float | None = None,
    precision: float | None = None,
    confidence: float = 0.9,
    per_label: bool = False,
) -> None:
    """Fits label sets that miss few true labels, or hold mostly true ones, whatever the model.

    The rows must have fitted nothing else: neither the model nor its calibrator or thresholds. A
    column `group` makes the guarantee that of a new group.

    Example: lddu conformal predictions.csv --false-negative-rate 0.1 -o sets.json

    Args:
      table: Columns prob_<label> and <label>, and perhaps group: a .csv, .tsv or .parquet file,
        such as `lddu predict` writes for labelled data.
      out: JSON file for the fitted sets; `lddu predict --sets` takes it.
      false_negative_rate: Share of a sample's true labels that its set may miss, on average.
      precision: Share of the labels in a set that are true, on average, at least.
      confidence: Probability, over calibration data, that the precision holds.
      per_label: Whether the guarantee is to hold within each label.
    """
    from lddu.calibration import conformal as control
    from lddu.cli import states
    from lddu.runs import probabilities

    if (false_negative_rate is None) == (precision is None):
        raise ValueError("give one of --false-negative-rate and --precision")
    rows = probabilities.read(table)
    labels = rows.labelled()
    if false_negative_rate is not None:
        fit = (
            control.fit_false_negative_rate_per_label
            if per_label
            else control.fit_false_negative_rate
        )
        state = fit(rows.probs, labels, false_negative_rate, groups=rows.groups)
        promise = f"at most {false_negative_rate:.0%} of true labels missed"
    else:
        fit = control.fit_precision_per_label if per_label else control.fit_precision
        state = fit(rows.probs, labels, precision, confidence, groups=rows.groups)
        promise = f"precision at least {precision:.0%}, with confidence {confidence:.0%}"
    states.write_sets(out, state, rows.label_names, promise)
    print(states.describe_sets(state, rows.label_names, promise))
    sizes = control.apply(state, rows.probs).sum(1)
    print(f"labels in a set: {sizes.mean():.2f} on average, {sizes.min()} to {sizes.max()}")
    print(out)
