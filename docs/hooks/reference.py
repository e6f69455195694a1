"""Writes the reference: one page for each room of docs/architecture.md, from its docstrings."""

import ast
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]


def rooms() -> dict[str, str]:
    """Returns the rooms of the floor plan, from top to bottom, with what their floor is for."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (plan,) = re.findall(r"^```floors\n(.*?)^```", text, re.S | re.M)
    floors = [re.split(r" {2,}", line) for line in plan.splitlines()]
    return {room: purpose for names, purpose in floors for room in names.split()}


def modules(room: str, others: set[str]) -> list[str]:
    """Returns the public modules of a room below its top one, without those of other rooms."""
    if room == "lddu":
        return []
    folder = ROOT / "lddu" / room.replace(".", "/")
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT / "lddu").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not path.stem.startswith("_") or (path.stem == "__init__" and name != room):
            names.append(name)
    return [name for name in names if name not in others]


def tree(module: str) -> tuple[Path, list[ast.stmt]]:
    """Returns the file of a module and its statements."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path, ast.parse(path.read_text(encoding="utf-8")).body


def exported(module: str) -> list[str]:
    """Returns the names in `__all__` of a package."""
    for node in tree(module)[1]:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("_")]
    return []


def entry(module: str, level: int) -> str:
    """Returns the entry of a module; a package shows only what it defines itself."""
    path, body = tree(module)
    options = f"heading_level: {level}"
    if path.stem == "__init__":
        own = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        options += f", members: {[name for name in own if not name.startswith('_')] or 'false'}"
    text = f"\n::: {module}\n    options: {{{options}}}\n"
    if names := exported(module):
        # Optional, because constants without a docstring have no entry to link to.
        links = ", ".join(
            f'<autoref identifier="{module}.{name}" optional><code>{name}</code></autoref>'
            for name in names
        )
        text += f"\nNames to import from `{module}`: {links}.\n"
    return text


def write_page(room: str, others: set[str]) -> str:
    """Returns the page of a room: the room itself, and its modules below it."""
    top = "lddu" if room == "lddu" else f"lddu.{room}"
    below = (entry(f"lddu.{name}", 2) for name in modules(room, others))
    return entry(top, 1) + "".join(below)


def write_index(plan: dict[str, str]) -> str:
    """Returns the page that lists all rooms."""
    lines = ["# Reference", "", "One page per room of the [floor plan](../architecture.md).", ""]
    lines += ["| room | what its floor holds |", "| --- | --- |"]
    lines += [f"| [{room}]({room}.md) | {purpose} |" for room, purpose in plan.items()]
    return "\n".join(lines) + "\n"


def on_config(config):
    """Appends the reference to the navigation."""
    pages = [{room: f"reference/{room}.md"} for room in rooms()]
    config.nav.append({"Reference": ["reference/index.md", *pages]})
    return config


def on_files(files, config):
    """Adds the pages."""
    plan = rooms()
    pages = {room: write_page(room, set(plan) - {room}) for room in plan}
    for name, content in {"index": write_index(plan), **pages}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files
