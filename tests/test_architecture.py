"""The package is built as docs/architecture.md draws it.

The plan there lists rooms floor by floor. A module may import modules of its own room and of rooms
on lower floors, also inside functions and for type checking.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PLAN = ROOT / "docs" / "architecture.md"
MODULE_LINES, TEST_LINES = 300, 400


class Import(NamedTuple):
    """One import of a module of this package by another."""

    importer: str
    line: int
    imported: str


def read_floors(text: str) -> list[list[str]]:
    """Returns the rooms of each floor, from top to bottom."""
    (block,) = re.findall(r"^```floors\n(.*?)^```", text, re.S | re.M)
    return [re.split(r" {2,}", line)[0].split() for line in block.splitlines() if line.strip()]


def read_modules(root: Path) -> dict[str, Path]:
    """Returns the file of every module of the package, by its dotted name."""
    modules = {}
    for path in sorted((root / "lddu").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def read_imports(importer: str, source: str, modules: dict[str, Path]) -> Iterator[Import]:
    """Yields the modules of this package that a source imports, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [f"lddu{'.' * node.level}{node.module or ''}"]  # reported: imports are absolute
        elif isinstance(node, ast.ImportFrom):
            # A name imported from a package is a module of it, or a name in its __init__.
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module for name in full]
        else:
            continue
        for name in dict.fromkeys(names):
            if name.partition(".")[0] == "lddu":
                yield Import(importer, node.lineno, name)


def find_room(module: str, rooms: set[str]) -> str | None:
    """Returns the room with the longest matching prefix; the package itself is room "lddu"."""
    if module == "lddu":
        return "lddu"
    name = module.removeprefix("lddu.")
    while name and name not in rooms:
        name = name.rpartition(".")[0]
    return name or None


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Returns one cycle of a directed graph as a path, or an empty list."""
    done, path = set(), []

    def visit(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        cycle = next(filter(None, map(visit, sorted(graph.get(node, ())))), [])
        path.pop()
        done.add(node)
        return cycle

    return next(filter(None, map(visit, sorted(graph))), [])


FLOORS = read_floors(PLAN.read_text(encoding="utf-8"))
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = read_modules(ROOT)
IMPORTS = [
    found
    for module, path in MODULES.items()
    for found in read_imports(module, path.read_text(encoding="utf-8"), MODULES)
]


def room(module: str) -> str | None:
    """Returns the room of a module in the plan."""
    return find_room(module, set(FLOOR))


def describe(found: Import) -> str:
    """Names an import by file and line."""
    path = MODULES[found.importer].relative_to(ROOT)
    rooms = f"{room(found.importer)} -> {room(found.imported)}"
    return f"{path}:{found.line} imports {found.imported} ({rooms})"


def fail_on(offences: list[str], rule: str) -> None:
    """Fails with one offence per line."""
    assert not offences, "\n  ".join([rule, *offences])


def too_long(paths: list[Path], limit: int) -> list[str]:
    """Names the files with more lines than the limit."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path.relative_to(ROOT)}: {n} lines" for path, n in counts.items() if n > limit]


def test_every_room_of_the_plan_exists():
    assert sum(map(len, FLOORS)) == len(FLOOR), "a room is listed twice"
    missing = [name for name in FLOOR if name != "lddu" and f"lddu.{name}" not in MODULES]
    fail_on(missing, "rooms without a module:")


def test_every_file_of_the_table_exists():
    rows = re.findall(r"^\| `(\w+)` +\|(.*?)\|", PLAN.read_text(encoding="utf-8"), re.M)
    assert len(rows) >= 10
    named = [f"lddu.{name}.{file}" for name, row in rows for file in re.findall(r"`(\w+)`", row)]
    fail_on([name for name in named if name not in MODULES], "files that do not exist:")


def test_every_module_belongs_to_a_room():
    homeless = [str(path.relative_to(ROOT)) for name, path in MODULES.items() if not room(name)]
    fail_on(homeless, "modules without a room:")


def test_imports_name_modules_that_exist():
    unknown = [describe(found) for found in IMPORTS if found.imported not in MODULES]
    fail_on(unknown, "imports of modules that do not exist, or relative ones:")


def test_imports_across_rooms_go_down():
    offences = [
        describe(found)
        for found in IMPORTS
        if (above := room(found.importer)) != (below := room(found.imported))
        and not FLOOR.get(above, -1) < FLOOR.get(below, -1)
    ]
    fail_on(offences, "imports that do not go down:")


def test_modules_of_a_room_have_no_import_cycle():
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        if room(found.importer) == room(found.imported):
            graph.setdefault(found.importer, set()).add(found.imported)
    steps = set(itertools.pairwise(find_cycle(graph)))
    links = [describe(found) for found in IMPORTS if (found.importer, found.imported) in steps]
    fail_on(links, "imports that form a cycle:")


def test_no_module_is_too_long():
    fail_on(too_long(list(MODULES.values()), MODULE_LINES), f"more than {MODULE_LINES} lines:")


def test_no_test_file_is_too_long():
    tests = sorted((ROOT / "tests").rglob("*.py"))
    fail_on(too_long(tests, TEST_LINES), f"more than {TEST_LINES} lines:")


def test_the_reader_sees_every_kind_of_import():
    modules = {name: Path() for name in ("lddu", "lddu.nn", "lddu.nn.heads", "lddu.structs")}
    source = (
        "import numpy as np\n"
        "import lddu.structs\n"
        "from lddu.nn import heads, SIZE\n"
        "if TYPE_CHECKING:\n"
        "    from lddu.structs import Batch\n"
        "def f():\n"
        "    import lddu\n"
    )
    found = {(i.line, i.imported) for i in read_imports("lddu.x", source, modules)}
    assert found == {
        (2, "lddu.structs"),
        (3, "lddu.nn.heads"),
        (3, "lddu.nn"),
        (5, "lddu.structs"),
        (7, "lddu"),
    }


def test_the_longest_prefix_names_the_room():
    rooms = {"official", "official.weights"}
    assert find_room("lddu.official.weights", rooms) == "official.weights"
    assert find_room("lddu.official.gate", rooms) == "official"
    assert find_room("lddu.officials", rooms) is None


def test_a_cycle_is_found():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}}) == []
