"""The notebooks run from top to bottom, with small sizes, and come to a conclusion."""

import ast
import contextlib
import functools
import importlib
import io
import os
import re
import shlex
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
# What the cell tagged "parameters" sets, made smaller; of a mapping, some entries.
SMALLER = {
    "SAMPLES": (200, 100, 100),
    "EPOCHS": 1,
    "MEMBERS": 2,
    "CONTRAST": (0.0, 0.1),
    "FUSIONS": ("precision", "gate"),
    "SEVERITIES": (5,),
    "CLIPS": 300,
    "TEXTS": (200, 100, 100, 300),
    "TREES": 10,
    "CANDIDATES": ("none", "platt"),
    "RESAMPLES": 20,
    "DRAWS": 5,
    "CHANGES": {
        "model.encoder.layers": 0,
        "model.encoder.hidden": 16,
        "model.latent": 4,
        "model.statistics": 4,
        "loss.contrastive": 0.0,
        "train.batch_size": 256,
        "train.epochs": 1,
        "train.members": 1,
    },
}


def parameters(notebook):
    """The cell with the tag "parameters"."""
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    return cell


def make_smaller(names):
    """Changes the parameters among the names of a notebook."""
    for name, value in names.items():
        names[name] = {**value, **SMALLER[name]} if isinstance(value, dict) else SMALLER[name]


def run(notebook):
    """Runs the cells in this process, where much is imported and compiled already.

    Returns:
      The pictures that cells show, and what the last cell prints.
    """
    names, pictures = {"__name__": "__main__"}, []
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        *lines, last = ast.parse(cell.source).body
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if isinstance(last, ast.Expr):
                exec(compile(ast.Module(lines, []), "cell", "exec"), names)
                shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            else:
                exec(compile(cell.source, "cell", "exec"), names)
                shown = None
        if hasattr(shown, "_repr_png_"):
            pictures.append(shown._repr_png_())
        if cell is parameters(notebook):
            given = {line.targets[0].id: names[line.targets[0].id] for line in [*lines, last]}
            make_smaller(given)
            names.update(given)
    return pictures, printed.getvalue()


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    """A notebook as it is stored."""
    return nbformat.read(request.param, as_version=4)


@pytest.mark.slow
def test_notebook_runs(notebook, tmp_path, monkeypatch):
    real = any("LDDU_DATA" in cell.source for cell in notebook.cells)
    if real and not os.environ.get("LDDU_DATA"):
        pytest.skip("LDDU_DATA is not set; it names the folder that holds studyforrest/")
    monkeypatch.chdir(tmp_path)
    pictures, printed = run(notebook)
    assert len(pictures) >= 3
    assert printed, "no conclusion is printed"


def test_parameters_are_made_smaller(notebook):
    body = ast.parse(parameters(notebook).source).body
    assert all(isinstance(line, ast.Assign) for line in body), "the cell must only assign"
    names = {ast.unparse(target) for line in body for target in line.targets}
    assert names <= SMALLER.keys(), "give each parameter of a notebook a smaller value above"


def test_notebook_is_a_short_lesson_that_ends_in_a_conclusion(notebook):
    nbformat.validate(notebook)
    assert 10 <= len(notebook.cells) <= 17
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[-1].cell_type == "code"
    assert "print(" in notebook.cells[-1].source


def test_notebook_is_stored_without_output(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def commands(notebook):
    """The commands in the text of a notebook."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [
        line
        for block in re.findall(r"```bash\n(.*?)```", text, re.S)
        for line in block.splitlines()
    ]


def test_commands_of_notebook_are_understood(notebook, monkeypatch):
    from lddu import cli

    called = []
    for verb in cli.VERBS:
        name, *inner = verb.split()
        module = importlib.import_module(f"lddu.cli.{name}")
        function = getattr(module, inner[0] if inner else name)

        # With the signature, which the words of a command are checked against.
        @functools.wraps(function)
        def instead(*args, verb=verb, **options):
            called.append(verb)

        monkeypatch.setattr(module, function.__name__, instead)
    for command in commands(notebook):
        program, *words = shlex.split(command)
        assert program == "lddu"
        cli.main(words)
    assert len(called) == len(commands(notebook))
