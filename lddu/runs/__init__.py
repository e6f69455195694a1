"""Experiments: what is trained, scored and written into a run folder.

- `experiment`: trains, calibrates and scores on a data set in three splits.
- `evaluation`: test predictions of a trained ensemble, by the protocols.
- `baselines`: the prior, and scikit-learn on pooled features.
- `run`: `Run`, what an experiment did and found.
- `folder`: writes a run as `predictions.npz` (`predictions`), `detail.npz` (`detail`, with
  `neighbours`), `results.json` (`results`) and its `pages`: `report.html` (`report`) and a page to
  explore its samples (`explorer`).
- `comparison`: finished runs side by side, with paired bootstrap intervals.
- `scores`, `tables`: the metrics, their statistics over seeds, and tables of them.
- `sections`, `page`: the parts of a report, and the HTML they are made of.
"""
