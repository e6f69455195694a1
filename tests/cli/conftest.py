import json
import re

import numpy as np
import pytest

from lddu.data import write_table
from lddu.data.dataset import Split
from lddu.runs.folder import write_run
from lddu.runs.predictions import ModelPredictions, RunPredictions
from lddu.runs.run import Run


@pytest.fixture(scope="module", autouse=True)
def memory_is_given_back():
    """Commands run in the process of the tests, which would keep all that it ever freed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lddu.training.memory.keep", lambda: True)
        yield


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run, with predictions only."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 2))
    half = np.full((1, 2), 0.5)
    models = {name: ModelPredictions(rng.random((1, 50, 2)), half) for name in ("forest", "lddu")}
    ids = np.arange(50).astype(str)
    RunPredictions(ids, labels, ("a", "b"), "validation", "lddu", models).save(tmp_path)
    return str(tmp_path)


@pytest.fixture(scope="session")
def place(tmp_path_factory, tiny_data):
    """Where a user stands: data in `mydata`, and the same in one table without splits."""
    place = tmp_path_factory.mktemp("place")
    names = tiny_data[0].config.labels
    splits = {}
    for name, drawn in zip(("train", "valid", "test"), tiny_data, strict=True):
        size = drawn.batch.size
        groups = np.array([f"{name} film {i // 4}" for i in range(size)])
        ids = np.array([f"{name} {i}" for i in range(size)])
        splits[name] = Split(drawn.batch, ids, groups=groups)
    write_table(place / "mydata" / "samples.csv", splits, names)
    (place / "undivided").mkdir()
    for file in (place / "mydata").iterdir():
        if file.suffix == ".npz":
            (place / "undivided" / file.name).write_bytes(file.read_bytes())
    declared = json.loads((place / "mydata" / "dataset.json").read_text())
    del declared["table"]
    (place / "undivided" / "dataset.json").write_text(json.dumps(declared))
    head, *rows = (place / "mydata" / "samples.csv").read_text().splitlines()
    gone = head.split(",").index("split")
    cut = [",".join(x for i, x in enumerate(row.split(",")) if i != gone) for row in [head, *rows]]
    (place / "undivided" / "all.csv").write_text("\n".join(cut) + "\n")
    return place


@pytest.fixture(scope="session")
def trained(place, predictor, tiny_data):
    """`place` with a finished run `runs/mine` of the session's predictor; do not modify."""
    folder, test = place / "runs" / "mine", tiny_data[2].batch
    predictor.save(folder / "predictor")
    prediction = predictor.predict(test)
    cuts = np.asarray(predictor.thresholds)[None]
    models = {"lddu": ModelPredictions(np.asarray(prediction.probs)[None], cuts)}
    for seed, name in enumerate(("prior", "logistic", "forest")):
        drawn = np.random.default_rng(seed).random((1, *test.labels.shape))
        models[name] = ModelPredictions(drawn, cuts)
    ids = np.array([f"test {i}" for i in range(test.size)])
    predictions = RunPredictions(ids, test.labels, predictor.labels, "validation", "lddu", models)
    table, weights = predictions.table(), prediction.weights
    finished = Run(
        "Mine", predictor.config, predictions, table, 1.0, "lddu train", predictor.history, weights
    )
    write_run(folder, finished)
    return place


@pytest.fixture(scope="session")
def short():
    """Options that make a training short; where an option is given twice, the last one counts."""
    changes = ("train.epochs=1", "model.encoder.layers=0", "model.statistics=4")
    return ["--no-baselines", "--set", *changes]


@pytest.fixture
def example():
    """example(verb): the words of the example in a verb's help."""

    def read(verb):
        module, *inner = verb.split()
        imported = __import__(f"lddu.cli.{module}", fromlist=["_"])
        help_text = getattr(imported, inner[0] if inner else module).__doc__
        paragraph = re.search(r"Example: lddu (.*?)\n\n", help_text, re.S).group(1)
        return paragraph.split()

    return read
