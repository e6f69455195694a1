"""The notebooks run from top to bottom, with small sizes, and come to a conclusion."""

import ast
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
# What the cell tagged "parameters" sets, made smaller.
SMALLER = {
    "SAMPLES": (200, 100, 100),
    "EPOCHS": 1,
    "MEMBERS": 2,
    "CONTRAST": (0.0, 0.1),
    "FUSIONS": ("precision", "gate"),
    "SEVERITIES": (5,),
}


def parameters(notebook):
    """The position of the cell with the tag "parameters"."""
    (place,) = (
        place
        for place, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    )
    return place


def assigned(source):
    """The names that a cell of plain assignments sets."""
    body = ast.parse(source).body
    assert all(isinstance(line, ast.Assign) for line in body), "the cell must only assign"
    return {ast.unparse(target) for line in body for target in line.targets}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    """A notebook as it is stored."""
    return nbformat.read(request.param, as_version=4)


@pytest.mark.slow
def test_notebook_runs(notebook):
    place = parameters(notebook)
    names = assigned(notebook.cells[place].source)
    assert names <= SMALLER.keys(), "give each parameter of a notebook a smaller value above"
    smaller = "\n".join(f"{name} = {SMALLER[name]!r}" for name in sorted(names))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(smaller))
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    figures = [out for cell in code for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(figures) >= 3
    assert any(out.output_type == "stream" for out in code[-1].outputs), "no conclusion is printed"


def test_notebook_is_a_short_lesson_that_ends_in_a_conclusion(notebook):
    assert 10 <= len(notebook.cells) <= 17
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.cells[-1].cell_type == "code"
    assert "print(" in notebook.cells[-1].source
    parameters(notebook)


def test_notebook_is_stored_without_output(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
