import itertools
import threading
import time
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.predictor import streaming
from lddu.structs import Batch, Modality


def batch(first, rows, length, dtype=np.float32):
    """Rows numbered from `first`; every third has no input."""
    number = np.arange(first, first + rows)
    values = np.tile(number[:, None, None], (1, length, 2)).astype(dtype)
    mask = np.tile((number % 3 > 0)[:, None], (1, length))
    return Batch({"x": Modality(values, mask)}, {"x": np.ones(rows, bool)})


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([2, 2, 2, 3])), max_size=12),
    st.integers(1, 7),
)
def test_every_row_passes_once_and_in_order(shapes, batch_size):
    sizes, given_lengths = deque(), []

    def source():
        first = 0
        for rows, length in shapes:
            sizes.append(rows)
            given_lengths.extend([length] * rows)
            yield batch(first, rows, length)
            first += rows

    chunks = list(streaming.chunks(source(), ["x"], batch_size))
    assert all(c.batch.size == len(c.seen) == batch_size for c in chunks)
    rows = [c.batch.modalities["x"].values[: c.rows] for c in chunks]
    lengths = [x.shape[1] for x in rows for _ in x]
    assert lengths == given_lengths
    total = sum(n for n, _ in shapes)
    assert [x[0, 0] for part in rows for x in part] == list(range(total))
    assert [s for c in chunks for s in c.seen[: c.rows]] == [n % 3 > 0 for n in range(total)]
    # Filled up only at the end and before another length.
    for chunk, after in itertools.pairwise(chunks):
        same = chunk.batch.modalities["x"].values.shape == after.batch.modalities["x"].values.shape
        assert chunk.rows == batch_size or not same
    results = [(c.batch.modalities["x"].values[:, 0, 0], c.rows) for c in chunks]
    again = list(streaming.realign(results, sizes))
    assert [len(x) for x in again] == [n for n, _ in shapes]
    assert [x for part in again for x in part] == list(range(total))


def test_chunks_have_one_type_and_memory_of_their_own():
    given = batch(0, 4, 2, np.float64)
    (chunk,) = streaming.chunks([given], ["x"], 4)
    values = chunk.batch.modalities["x"].values
    assert values.dtype == np.float32
    assert chunk.batch.modalities["x"].mask.dtype == bool
    same = batch(0, 4, 2)
    (chunk,) = streaming.chunks([same], ["x"], 4)
    same.modalities["x"].values[:] = -1
    assert chunk.batch.modalities["x"].values.min() == 0


def test_two_are_under_way_at_once_and_results_keep_the_order():
    together = threading.Barrier(2, timeout=30)  # breaks if one would wait for the other

    def run(x):
        together.wait()
        time.sleep(0.02 * (x % 2 == 0))  # the first of two is done last
        return {"x": jnp.asarray(2 * x)}

    got = list(streaming.overlapped(run, range(6)))
    assert [(int(result["x"]), item) for result, item in got] == [(2 * x, x) for x in range(6)]
    assert all(isinstance(result["x"], np.ndarray) for result, _ in got)
    assert list(streaming.overlapped(run, [])) == []


def test_no_more_is_read_ahead_than_keeps_the_threads_busy():
    read = []
    results = streaming.overlapped(jnp.asarray, (read.append(x) or x for x in range(100)))
    for done in range(5):
        next(results)
        assert len(read) == done + 3
    results.close()
    assert len(read) == 7


def test_settings_of_the_callers_thread_hold():
    def run(_):
        names = ("default_device", "default_matmul_precision", "enable_x64")
        found.append([getattr(jax.config, f"jax_{name}") for name in names])

    device, found = jax.devices()[0], []
    with jax.default_device(device), jax.default_matmul_precision("float32"), jax.enable_x64(True):
        list(streaming.overlapped(run, range(2)))
    list(streaming.overlapped(run, range(2)))
    assert found == [[device, "float32", True]] * 2 + [[None, None, False]] * 2


def test_an_error_reaches_the_caller():
    def run(x):
        raise OSError(f"cannot read {x}")

    with pytest.raises(OSError, match="cannot read 0"):
        list(streaming.overlapped(run, range(3)))
