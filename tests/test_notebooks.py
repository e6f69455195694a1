"""The notebooks run from top to bottom."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
# What is replaced, so that they train for seconds.
SHORTER = {r"\(4000, 1000, 2000\)": "(400, 100, 200)", r'"train.epochs": \d': '"train.epochs": 1'}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    for pattern, shorter in SHORTER.items():
        sources = [re.subn(pattern, shorter, cell.source) for cell in notebook.cells]
        assert sum(count for _, count in sources) == 1, f"not once in the notebook: {pattern}"
        for cell, (source, _) in zip(notebook.cells, sources, strict=True):
            cell.source = source
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    figures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {}) or "image/svg+xml" in output.get("data", {})
    ]
    assert len(figures) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_output(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
