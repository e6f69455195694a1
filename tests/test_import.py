import subprocess
import sys

HEAVY = ("tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "sklearn", "scipy", "pandas")


def test_import_leaves_heavy_modules_alone():
    code = f"import sys, lddu; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = done.stdout.strip()
    # JAX itself imports scipy.
    assert found in ("[]", "['scipy']")


def test_everything_in_all_exists():
    import lddu

    assert all(hasattr(lddu, name) for name in lddu.__all__)
