"""Execution settings leave a run the same up to rounding, with everything random switched on.

Devices are in test_sharding.py, training together in test_trainer.py.
"""

import jax
import numpy as np
import pytest

from lddu import config
from lddu.config import Config, ExecutionConfig
from lddu.packing.structs import Packing, Rows


@pytest.fixture(scope="session")
def otherwise(base_config, data, recording_trainer):
    """A trainer with every setting changed: one call per epoch, packed and blocked."""
    changes = {
        "execution.packing": True,
        "execution.steps_per_dispatch": 3,
        "execution.row_block": 3,
        "execution.attention": "blocked",
    }
    return recording_trainer(config.replace(base_config, changes), *data)


def test_all_other_settings_give_the_same_run(otherwise, alone, near, tree_close):
    # Any eight rows fit into five rows of x, so that no batch stays padded.
    assert 5 <= otherwise._packer.sizes[0]["x"] < 8
    near(otherwise.run(progress=False), alone.trained)
    # All of the state: moments of the optimiser, average, memory bank.
    tree_close(otherwise.state, alone.state)
    assert (otherwise.state.bank.classes >= 0).any()


def test_the_draws_matter(otherwise, alone):
    # Else the test above would compare little: other draws lead far away.
    step_keys = alone.trainer._start([1])[2]
    other = alone.variant()
    start = other._start
    other._start = lambda members: (*start(members)[:2], step_keys)
    (changed,) = other.run(progress=False)
    moved = [
        np.abs(a - b).max()
        for a, b in zip(
            jax.tree.leaves(changed.params), jax.tree.leaves(alone.trained[0].params), strict=True
        )
    ]
    assert max(moved) > 1e-2


def test_nothing_compiles_after_the_first_run(otherwise, compiled):
    otherwise.run(progress=False)
    with compiled() as names:
        otherwise.run([1], progress=False)
    assert names == []
    assert otherwise.programs.steps.jitted._cache_size() == 1
    assert otherwise.programs.step.jitted._cache_size() == 0


def test_more_steps_in_a_call_than_an_epoch_has_are_single_steps(alone, same):
    many = alone.variant()
    many.config = config.replace(many.config, {"execution.steps_per_dispatch": 4})
    many.programs = many.programs._replace(steps=None)
    same(many.run(progress=False), alone.trained)


def test_steps_left_over_are_single_steps(alone, otherwise):
    index = np.zeros((1, 3, 8), int)
    calls = [at for _, at in alone.trainer._packer.calls(index, 2)]
    assert calls == [slice(0, 2), 2]
    # However packed: no sample is lost.
    rows = [rows for rows, _ in otherwise._packer.calls(index, 2)]
    assert [r.index.shape for r in rows] == [(1, 2, 8), (1, 8)]
    assert all(isinstance(r, Rows) for r in rows)
    assert all(isinstance(p, Packing) for r in rows for p in r.packing.values())


def test_only_the_number_type_is_beyond_rounding():
    # A new setting must be tested here, or kept by run folders as `dtype` is.
    assert set(vars(ExecutionConfig())) == {
        "devices",
        "parallel_members",
        "steps_per_dispatch",
        "packing",
        "attention",
        "row_block",
        "dtype",
    }
    assert isinstance(Config.__dataclass_fields__["execution"].default_factory(), ExecutionConfig)
