import subprocess
import sys

import lddu

HEAVY = {"tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "sklearn", "torch"}
HEAVY |= {"pandas", "polars", "xarray"}


def test_import_leaves_heavy_modules_alone():
    # Only what JAX and Flax import by themselves may be there (SciPy, for example).
    code = "import {}, sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"

    def imported(modules):
        command = [sys.executable, "-c", code.format(modules)]
        return set(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        )

    heavy = imported("lddu") & HEAVY
    assert heavy <= (imported("jax, flax, optax") if heavy else set())


def test_everything_in_all_exists():
    assert all(hasattr(lddu, name) for name in lddu.__all__)
