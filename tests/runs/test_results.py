import json
import math

import numpy as np
import pytest

from lddu import config
from lddu.runs import results


def stat(mean, std=0.0, n=1):
    return {"mean": mean, "std": std, "n": n}


def test_aggregate_by_hand():
    runs = [{"nll": 1.0, "f1": 0.5}, {"nll": 3.0, "f1": math.nan}, {"nll": 2.0}]
    summary = results.aggregate(runs)
    assert summary == {"nll": stat(2.0, 1.0, 3), "f1": stat(0.5, 0.0, 1)}
    assert list(summary) == ["nll", "f1"]


def test_aggregate_of_nothing_is_nan_and_of_no_runs_empty():
    summary = results.aggregate([{"auroc": math.nan}])["auroc"]
    assert math.isnan(summary["mean"])
    assert math.isnan(summary["std"])
    assert summary["n"] == 0
    assert results.aggregate([]) == {}


def test_round_trip(tmp_path):
    models = {"lddu": {"nll": stat(0.4, 0.01, 5)}, "größe": {"auroc": stat(math.nan, math.nan, 0)}}
    path = results.write_results(tmp_path / "new" / "results.json", models, "lddu x", {"a": 1}, 2.5)
    read = results.read_results(path)
    assert read["models"]["lddu"] == models["lddu"]
    assert math.isnan(read["models"]["größe"]["auroc"]["mean"])
    assert (read["command"], read["config"], read["seconds"]) == ("lddu x", {"a": 1}, 2.5)
    assert 10 < read["peak_rss_mb"] < 1e6
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_file_is_strict_json(tmp_path):
    models = {"m": {"nll": stat(np.float32(0.5)), "x": stat(math.inf, math.nan, np.int64(2))}}
    cfg = {"list": (1, math.nan), "array": np.arange(2)}
    path = results.write_results(tmp_path / "results.json", models, "c", cfg, 1)

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read["models"]["m"] == {"nll": stat(0.5), "x": stat(None, None, 2)}
    assert read["config"] == {"list": [1, None], "array": [0, 1]}


def test_a_configuration_is_written_as_its_own_json(tmp_path):
    cfg = config.tiny({"text": (3, 4)}, ["a"])
    path = results.write_results(tmp_path / "results.json", {}, "c", cfg, 1)
    assert results.read_results(path)["config"] == json.loads(cfg.to_json())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = results.write_results(tmp_path / "results.json", {}, "first", None, 1)
    with pytest.raises(TypeError):
        results.write_results(path, {}, "second", object(), 1)
    assert results.read_results(path)["command"] == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_another_json_file_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"models": {}}')
    with pytest.raises(ValueError, match="no 'command'"):
        results.read_results(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("nll", True),
        ("brier", True),
        ("ece", True),
        ("ece_macro", True),
        ("hamming_loss", True),
        ("aurc", True),
        ("auroc", False),
        ("micro_f1", False),
        ("micro_precision", False),
        ("exact_match", False),
    ],
)
def test_direction(metric, lower):
    assert results.lower_is_better(metric) is lower


MODELS = {
    "lddu": {"nll": stat(0.4, 0.012, 3), "micro_f1": stat(0.7)},
    "base": {"nll": stat(0.6), "micro_f1": stat(0.7001)},
    "bayes": {"nll": stat(0.1), "micro_f1": stat(0.9)},
    "new": {"nll": stat(math.nan, math.nan, 0)},
}


def test_best_ignores_bayes_and_missing_and_keeps_ties():
    assert results.best_models(MODELS, "nll") == {"lddu"}
    assert results.best_models(MODELS, "micro_f1") == {"lddu", "base"}  # alike as shown
    assert results.best_models(MODELS, "micro_f1", digits=4) == {"base"}
    assert results.best_models(MODELS, "absent") == set()


def test_plain_table():
    assert results.format_table(MODELS, ["nll", "micro_f1"]).split("\n") == [
        "model            nll  micro_f1",
        "lddu   0.400 ± 0.012     0.700",
        "base           0.600     0.700",
        "bayes          0.100     0.900",
        "new                –         –",
    ]


def test_markdown_table():
    models = {"a|b": MODELS["lddu"], "bayes": MODELS["bayes"]}
    assert results.format_table(models, ["nll"], markdown=True, digits=2).split("\n") == [
        "| model |             nll |",
        "| ----- | --------------: |",
        r"| a\|b  | **0.40 ± 0.01** |",
        "| bayes |            0.10 |",
    ]
