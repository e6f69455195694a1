import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.packing.structs import Packing
from lddu.training import memory

glibc = pytest.mark.skipif(memory._glibc() is None, reason="needs the GNU C library")

# What a block of 64 MiB costs when it was had before; then, how much trimming gives back.
PROGRAM = """
import resource, sys
from pathlib import Path
from lddu.training import memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

assert sys.argv[1] != "keep" or memory.keep()
for _ in range(3):
    before = faults()
    block = b"x" * 2**26
    again = faults() - before
    del block
held = resident()
memory.trim()
print(again, held - resident())
"""


@glibc
@pytest.mark.parametrize("mode", ["keep", "default"])
def test_freed_memory_is_kept_and_trimmed(mode):
    command = [sys.executable, "-c", PROGRAM, mode]
    # Settings of the machine would add to those under test.
    unset = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    out = subprocess.run(command, env=unset, capture_output=True, text=True, check=True).stdout
    faults, trimmed = map(int, out.split())
    if mode == "keep":
        assert faults < 30
        assert trimmed > 14_000  # of the 16,384 pages
    else:
        assert faults > 30  # a page may have 2 MiB
        assert trimmed < 2_000


def test_without_the_gnu_c_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep()
    assert not memory.trim()


def test_a_trimmed_function_compiles_once_per_shape_and_trims_before_it_runs(monkeypatch):
    events = []
    monkeypatch.setattr(memory, "trim", lambda: events.append("trim"))

    def add(state, x):
        events.append("trace")
        jax.debug.callback(lambda: events.append("run"), ordered=True)
        return state + x.sum()

    jitted = jax.jit(add, donate_argnums=0)
    function, total = memory.Trimmed(jitted), jnp.zeros(())
    for size in (2, 3, 2):
        total = jax.block_until_ready(function(total, np.ones(size)))
        jax.effects_barrier()
    assert total == 7
    assert events == ["trace", "trim", "run", "trace", "trim", "run", "run"]
    assert function.jitted is jitted
    assert jitted._cache_size() == 2


def test_a_trimmed_function_knows_arguments_of_the_same_shapes_apart(monkeypatch):
    trims = []
    monkeypatch.setattr(memory, "trim", lambda: trims.append(1))
    function = memory.Trimmed(jax.jit(lambda _, x: x.slots + x.rows))
    for rows in (3, 5, 3):  # static: another number is another program
        assert function(0, Packing(np.zeros(2, np.int32), rows)).tolist() == [rows] * 2
    assert len(trims) == 2
