"""`lddu predict`: a table of probabilities, decisions and uncertainty."""

from lddu.cli.arguments import Data, MaybeFile, Out, Run


def predict(
    run: Run,
    data: Data,
    out: Out,
    split: str = "all",
    sets: MaybeFile = None,
) -> None:
    """Writes probabilities, decisions, both uncertainties and modality weights of every sample.

    Example: lddu predict runs/mine mydata -o predictions.csv

    Args:
      run: A run folder, or one that `Predictor.save` wrote.
      data: Folder or table in the open format; labels are not needed, and kept where they are.
      out: File that ends in .csv, .parquet, .jsonl or .npz.
      split: The split to predict: all, train, valid or test.
      sets: Label sets from `lddu conformal`, to add as columns.
    """
    from lddu.calibration import conformal
    from lddu.cli import datasets, states
    from lddu.cli.folders import load_predictor
    from lddu.runs import columns

    predictor = load_predictor(run)
    rows = datasets.read(data, split, predictor.config.model)
    fields = ("probs", "weights", "aleatoric", "epistemic")
    prediction = predictor.predict(rows.batch, fields=fields)
    control = None if sets is None else states.read_sets(sets, predictor.labels)
    table = columns.of_prediction(
        rows.ids,
        prediction,
        predictor.decide(prediction),
        predictor.labels,
        predictor.config.model.modality_names,
        labels=rows.batch.labels,
        groups=rows.groups,
        sets=None if control is None else conformal.apply(control, prediction.probs),
    )
    columns.write(out, table)
    print(f"{out}: {len(rows.ids):,} samples, {len(table)} columns")
