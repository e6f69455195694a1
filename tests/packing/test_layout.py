import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu.packing.layout import Packed, Padded, lay_out
from lddu.packing.plan import first_fit
from lddu.packing.structs import Packing

SAMPLES, STEPS, WIDTH = 5, 6, 2
ROWS = SAMPLES  # one shape for all examples; rows that no sample needs stay empty
X = np.random.default_rng(0).normal(size=(SAMPLES, STEPS, WIDTH)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(ROWS, STEPS, WIDTH)).astype(np.float32)
TABLE = np.random.default_rng(2).normal(size=(STEPS + 2, 3)).astype(np.float32)
GAPS = np.array(
    [[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [1] * 6, [0, 0, 1, 0, 0, 0]], bool
)

masks = hnp.arrays(bool, (SAMPLES, STEPS))


def apply(mask, slots, x, y):
    """All that a layout does."""
    layout = Packed(mask, Packing(slots, ROWS))
    packed, pack_back = jax.vjp(layout.pack, x)
    unpacked, unpack_back = jax.vjp(layout.unpack, y)
    return {
        "mask": layout.attention_mask,
        "pack": packed,
        "unpack": unpacked,
        "there and back": layout.unpack(packed),
        "adjoint of pack": pack_back(y)[0],
        "adjoint of unpack": unpack_back(x)[0],
        "positions": layout.positions(TABLE),
        "real": layout.pack(mask),
    }


run = jax.jit(apply)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def last_steps(mask):
    """(B,) steps up to the last real one."""
    return np.where(mask.any(1), STEPS - mask[:, ::-1].argmax(1), 0)


def place(mask, nowhere=10**6):
    """Slots as the library plans them; samples without steps lie anywhere."""
    last = last_steps(mask)
    return np.where(last > 0, first_fit(last[None], STEPS)[0][0], nowhere).astype(np.int32)


def matrix(mask, slots):
    """(R T, B T): packing as the 0-1 matrix that it is."""
    moves = np.zeros((ROWS * STEPS, SAMPLES * STEPS), np.float32)
    for b, steps in enumerate(last_steps(mask)):
        for t in range(steps):
            moves[slots[b] + t, b * STEPS + t] += 1
    return moves


def times(moves, x):
    return (moves @ x.reshape(len(x) * STEPS, -1)).reshape(-1, STEPS, x.shape[-1])


@given(mask=masks, nowhere=st.sampled_from([10**6, -7, 0]))
@settings(max_examples=40)
def test_packing_is_a_matrix_and_its_adjoint_the_transpose(mask, nowhere):
    slots = place(mask, nowhere)
    moves = matrix(mask, slots)
    assert moves.sum(0).max() <= 1
    assert moves.sum(1).max() <= 1
    got = run(mask, slots, X, Y)
    for name, want in {
        "pack": times(moves, X),
        "unpack": times(moves.T, Y),
        "adjoint of pack": times(moves.T, Y),
        "adjoint of unpack": times(moves, X),
    }.items():
        np.testing.assert_array_equal(got[name], want, err_msg=name)
    # To the last real step all comes back, gaps too; beyond it there is nothing.
    kept = np.arange(STEPS) < last_steps(mask)[:, None]
    np.testing.assert_array_equal(got["there and back"], np.where(kept[..., None], X, 0))
    assert (kept >= mask).all()


@given(mask=masks)
@settings(max_examples=40)
def test_a_step_attends_to_the_real_steps_of_its_own_sample(mask):
    slots = place(mask)
    got = run(mask, slots, X, Y)
    owner, step = np.full((2, ROWS * STEPS), -1)
    for b, steps in enumerate(last_steps(mask)):
        owner[slots[b] : slots[b] + steps] = b
        step[slots[b] : slots[b] + steps] = np.arange(steps)
    real = (owner >= 0) & mask[owner, step]
    owner, step, real = (x.reshape(ROWS, STEPS) for x in (owner, step, real))
    want = (owner[:, :, None] == owner[:, None, :]) & real[:, None, :]
    np.testing.assert_array_equal(got["mask"], want)
    assert not got["mask"][owner < 0].any()
    np.testing.assert_array_equal(got["real"], real)
    # Each step has the position it has in its own sequence.
    want = np.where(owner[..., None] >= 0, TABLE[step], 0)
    np.testing.assert_array_equal(got["positions"], want)


def test_by_hand():
    # Four steps a row: samples 2 and 0 share the first, 1 has none, 3 has a gap and the second.
    mask = jnp.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0]], bool)
    layout = lay_out(mask, Packing(jnp.array([3, 0, 0, 4]), 2))
    x = 10 * jnp.arange(1, 5)[:, None] + jnp.arange(1, 5)
    np.testing.assert_array_equal(layout.pack(x), [[31, 32, 33, 11], [41, 42, 43, 0]])
    back = [[11, 0, 0, 0], [0, 0, 0, 0], [31, 32, 33, 0], [41, 42, 43, 0]]
    np.testing.assert_array_equal(layout.unpack(layout.pack(x)), back)
    first = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(layout.attention_mask[0], first)
    second = [[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(layout.attention_mask[1], second)


def test_vmapped_over_members_each_has_its_own_layout():
    rng = np.random.default_rng(3)
    member_masks = np.stack([GAPS, GAPS[::-1], rng.random(GAPS.shape) < 0.3])
    slots = np.stack([place(mask) for mask in member_masks])
    x, y = (rng.normal(size=(3, *a.shape)).astype(np.float32) for a in (X, Y))
    together = jax.jit(jax.vmap(apply))(member_masks, slots, x, y)
    for k in range(3):
        alone = run(member_masks[k], slots[k], x[k], y[k])
        jax.tree.map(
            np.testing.assert_array_equal, jax.tree.map(lambda a, k=k: a[k], together), alone
        )
    # Shared masks and slots with other values, as of members on one batch.
    shared = jax.vmap(apply, in_axes=(None, None, 0, 0))(GAPS, place(GAPS), x, y)
    np.testing.assert_array_equal(shared["pack"][2], run(GAPS, place(GAPS), x[2], y[2])["pack"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int32", "bool"])
def test_any_type_and_any_further_axes(dtype):
    layout = Packed(GAPS, Packing(place(GAPS), ROWS))
    x = jnp.asarray(np.arange(SAMPLES * STEPS * 4).reshape(SAMPLES, STEPS, 2, 2) % 7, dtype)
    packed = layout.pack(x)
    assert (packed.shape, packed.dtype) == ((ROWS, STEPS, 2, 2), x.dtype)
    flat = layout.pack(x.reshape(SAMPLES, STEPS, 4))
    np.testing.assert_array_equal(packed.reshape(flat.shape), flat)
    assert layout.unpack(packed).dtype == x.dtype


def test_what_stands_where_no_step_is_does_not_pass():
    kept = np.arange(STEPS) < last_steps(GAPS)[:, None]
    filled = np.where(kept[..., None], X, np.float32(np.nan))
    slots = place(GAPS)
    used = matrix(GAPS, slots).any(1).reshape(ROWS, STEPS, 1)
    empty = np.where(used, Y, np.float32(np.nan))
    jax.tree.map(
        np.testing.assert_array_equal, run(GAPS, slots, filled, empty), run(GAPS, slots, X, Y)
    )


def test_padded_moves_nothing():
    layout = lay_out(GAPS, None)
    assert isinstance(layout, Padded)
    assert layout.pack(X) is X
    assert layout.unpack(X) is X
    assert layout.attention_mask is GAPS
    np.testing.assert_array_equal(layout.positions(TABLE), TABLE[:STEPS])
