"""Examples in docstrings give what they say, and everything public is documented."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "lddu"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
WITH_EXAMPLES = [path for path, source in SOURCES.items() if ">>> " in source]


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def docstrings(path):
    """(dotted name, docstring) of the module and of everything public in it."""

    def walk(node, name):
        yield name, ast.get_docstring(node)
        for child in node.body:
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(child, kinds) and not child.name.startswith("_"):
                if isinstance(child, ast.ClassDef):
                    yield from walk(child, f"{name}.{child.name}")
                else:
                    yield f"{name}.{child.name}", ast.get_docstring(child)

    yield from walk(ast.parse(SOURCES[path]), module_name(path))


def imported(path):
    """The module, or a skipped test that names the extra to install."""
    try:
        return importlib.import_module(module_name(path))
    except ImportError as error:
        extra = re.search(r"pip install '(lddu\[\w+\])'", str(error))
        if extra is None:
            raise
        pytest.skip(f"needs {extra.group(1)}")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples(path):
    module = imported(path)
    results = doctest.testmod(
        module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, report=False
    )
    assert results.attempted > 0, "no example was found where >>> is written"
    assert results.failed == 0, f"{results.failed} examples failed; see the captured output"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_everything_public_begins_with_a_sentence(path):
    for name, text in docstrings(path):
        assert text, f"{name} has no docstring"
        first = text.split("\n\n")[0].splitlines()
        assert len(first) == 1, f"{name}: the first line must stand alone: {first}"
        assert first[0].endswith("."), f"{name}: the first line must end with a full stop: {first}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_only_published_sources_are_cited(path):
    assert not re.search(r"\bMETHOD\b", SOURCES[path]), "METHOD is not part of the repository"
