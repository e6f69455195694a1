"""Every command `lddu ...` of the pages and every example of the help runs, on tiny data.

The README's `lddu train` is in `test_own_files.py`, the example of its help in `test_train.py`, and
that of `lddu convert` in `test_runs.py`.
"""

import itertools
import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from lddu import cli
from lddu.runs import demo

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = list(
    dict.fromkeys(
        line.split("#")[0].strip()
        for page in PAGES
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
        for line in block.splitlines()
        if line.startswith("lddu ")
    )
)
APART = ("demo", "train", "export", "convert")


def words(command):
    return shlex.split(command)[1:]


@pytest.fixture(scope="module")
def stand(trained, tmp_path_factory):
    """A copy of the place where a user stands, with every file that a command names."""
    stand = tmp_path_factory.mktemp("stand") / "place"
    shutil.copytree(trained, stand)
    shutil.copy(stand / "undivided" / "all.csv", stand / "mydata" / "all.csv")
    for name in ("demo", "mosei", "mosei_paper"):
        shutil.copytree(stand / "runs" / "mine", stand / "runs" / name)
    return stand


@pytest.fixture
def run(stand, monkeypatch, capsys):
    """run(words): runs a command where the user stands and returns what it prints."""
    monkeypatch.chdir(stand)

    def run(given):
        try:
            cli.main(given)
        except SystemExit as stopped:
            pytest.fail(f"lddu {shlex.join(given)}: {stopped}")
        return capsys.readouterr().out

    return run


def test_commands_run_one_after_the_other(run, stand, example):
    examples = [example(verb) for verb in cli.VERBS if verb.split()[0] not in APART]
    pages = [words(command) for command in COMMANDS if words(command)[0] not in APART]
    assert len(pages) >= 9
    for given in [*pages, *(x for x in examples if x not in pages)]:
        short = ["--resamples", "5"] if given[0] in ("compare", "evaluate") else []
        assert run([*given, *short]).strip(), given
        for option, name in itertools.pairwise(given):
            if option in ("-o", "--out"):
                assert (stand / name).stat().st_size > 100, given


@pytest.mark.slow
def test_exports_run(run, stand, example):
    commands = {" ".join(words(c)) for c in COMMANDS if words(c)[0] == "export"}
    for given in {*commands, " ".join(example("export"))}:
        assert "MB for cpu, cuda, tpu" in run(given.split())
        assert (stand / given.split()[-1]).stat().st_size > 10_000


@pytest.mark.slow
def test_the_demo_runs(run, stand, example):
    run([*example("demo"), "--samples", "200", "--out", "runs/small"])
    out = stand / "runs" / "small"
    models = json.loads((out / "results.json").read_text())["models"]
    assert {"prior", "logistic", "lddu", "lddu_calibrated", "bayes"} == set(models)
    assert all(scores["nll"]["mean"] > 0 for scores in models.values())
    assert (out / "report.html").stat().st_size > 10_000


def test_the_script_of_make_demo_is_the_demo(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run", lambda *given: calls.append(given))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--samples", "200"])
    runpy.run_path(str(ROOT / "experiments" / "demo.py"), run_name="__main__")
    assert calls == [(200, 5, 0, Path("runs/demo"))]


@pytest.mark.slow
@pytest.mark.repeated
def test_the_same_training_with_other_options_runs(place, short, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "mydata", "mydata")
    for command in (c for c in COMMANDS if words(c)[0] == "train"):
        if "--config" not in command:
            shutil.rmtree("runs", ignore_errors=True)
        cli.main([*words(command), *short])
        out = Path(command.split("--out ")[1])
        assert (out / "report.html").stat().st_size > 10_000
