import json
import math

import numpy as np
import pytest

from lddu import config
from lddu.runs import results


def stat(mean, std=0.0, n=1):
    return {"mean": mean, "std": std, "n": n}


def test_round_trip(tmp_path):
    models = {"lddu": {"nll": stat(0.4, 0.01, 5)}, "größe": {"auroc": stat(math.nan, math.nan, 0)}}
    path = results.write_results(tmp_path / "new", models, {"a": 1}, 2.5, "lddu x")
    read = results.read_results(tmp_path / "new")
    assert read["models"]["lddu"] == models["lddu"]
    assert math.isnan(read["models"]["größe"]["auroc"]["mean"])
    assert (read["command"], read["config"], read["seconds"]) == ("lddu x", {"a": 1}, 2.5)
    assert 10 < read["peak_rss_mb"] < 1e6
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_file_is_strict_json(tmp_path):
    models = {"m": {"nll": stat(np.float32(0.5)), "x": stat(math.inf, math.nan, np.int64(2))}}
    cfg = {"list": (1, math.nan), "array": np.arange(2)}
    path = results.write_results(tmp_path, models, cfg, 1)

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read["models"]["m"] == {"nll": stat(0.5), "x": stat(None, None, 2)}
    assert read["config"] == {"list": [1, None], "array": [0, 1]}


def test_a_configuration_is_written_as_its_own_json(tmp_path):
    cfg = config.tiny({"text": (3, 4)}, ["a"])
    results.write_results(tmp_path, {}, cfg, 1)
    assert results.read_results(tmp_path)["config"] == json.loads(cfg.to_json())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    results.write_results(tmp_path, {}, None, 1, "first")
    with pytest.raises(TypeError):
        results.write_results(tmp_path, {}, object(), 1, "second")
    assert results.read_results(tmp_path)["command"] == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_another_json_file_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"models": {}}')
    with pytest.raises(ValueError, match=r"results\.json is damaged: lacks 'command'"):
        results.read_results(tmp_path)


def test_the_command_is_what_was_typed(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["experiments/demo.py", "--out", "my run"])
    results.write_results(tmp_path, {}, None, 1)
    command = results.read_results(tmp_path)["command"]
    assert command == "python experiments/demo.py --out 'my run'"
