"""What an import brings in: nothing that is slow to load or need not be installed."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lddu
from lddu import cli

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
EXTRA = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
NEEDED, EXTRAS = (
    {re.split(r"[\[<>=]", text)[0].lower().replace("_", "-") for text in texts}
    for texts in (PROJECT["dependencies"], EXTRA)
)
# Slow to load, or libraries whose frames are read without them.
OTHERS = {"polars", "xarray", "tensorflow", "tensorflow_datasets", "orbax", "pyarrow"}
EVERYTHING = "import lddu; [getattr(lddu, name) for name in lddu.__all__]"


def modules(packages):
    """The modules that these packages bring, as far as they are installed."""
    return {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if packages & {name.lower().replace("_", "-") for name in names}
    } - {"lddu"}


def loaded(code):
    """The modules that are loaded after some code has run in a process of its own."""
    code += "\nimport sys; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_everything_public_leaves_extras_and_slow_modules_alone():
    # Only what JAX and Flax import by themselves may be there, such as flatbuffers.
    needless = loaded(EVERYTHING) & (modules(EXTRAS - NEEDED) | OTHERS)
    assert needless <= (loaded("import jax, flax, optax") if needless else set())


def test_the_package_itself_imports_nothing():
    assert not loaded("import lddu") & modules(NEEDED | EXTRAS)


def test_help_imports_nothing_but_tyro():
    code = ["from lddu import cli"]
    for verb in ("", *cli.VERBS):
        words = [*verb.split(), "--help"]
        code += ["try:", f"    cli.main({words})", "except SystemExit:", "    pass"]
    assert loaded("\n".join(code)) & modules(NEEDED | EXTRAS) <= {"tyro", "numpy"}


def test_everything_in_all_exists():
    assert all(hasattr(lddu, name) for name in lddu.__all__)
