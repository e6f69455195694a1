import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import config
from lddu.model import LDDU
from lddu.training.programs import compile_group, over_data_set, packs
from lddu.training.sharding import training_mesh
from lddu.training.step import Resident
from lddu.training.trainer import Trainer


def test_members_have_their_own_or_share_an_argument():
    group = compile_group(lambda own, shared: {"sum": own + shared}, 3, (0, None))
    result = group(jnp.arange(6.0).reshape(3, 2), jnp.ones(2))
    np.testing.assert_array_equal(result["sum"], [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("mesh", [False, True])
def test_a_group_computes_what_its_members_compute(members, mesh):
    def function(own, shared):
        return own["a"] * shared, own["a"].sum()

    mesh = training_mesh(members, 4, jax.local_devices()[:1]) if mesh else None
    own = {"a": jnp.arange(members * 2.0).reshape(members, 2)}
    product, total = compile_group(function, members, (0, None), mesh)(own, jnp.array([2.0, 3.0]))
    np.testing.assert_array_equal(product, own["a"] * np.array([2.0, 3.0]))
    np.testing.assert_array_equal(total, own["a"].sum(1))


@pytest.mark.parametrize("donate", [True, False])
def test_the_first_argument_is_donated_if_asked_for(donate):
    first, second = jnp.zeros((2, 3)), jnp.ones((2, 3))
    compile_group(lambda a, b: a + b, 2, (0, 0), donate=donate)(first, second)
    assert first.is_deleted() == donate
    assert not second.is_deleted()


def test_runs_that_compute_the_same_share_their_programs(base_config, data, compiled):
    def run(changes, scale):
        x = data[0].modalities["x"]
        train = data[0].replace(
            modalities={**data[0].modalities, "x": x.replace(values=scale * x.values)}
        )
        trainer = Trainer(config.replace(base_config, changes), train, data[1])
        trainer.run(progress=False)
        return trainer.programs

    first = run({}, 1)
    with compiled() as names:
        again = run({"train.seed": 5, "train.patience": 1, "train.members": 3}, 1.5)
    assert again is first
    assert names == []
    other = config.replace(base_config, {"loss.kl": 2 * base_config.loss.kl + 0.1})
    assert Trainer(other, *data).programs is not first


def test_the_best_parameters_are_kept_by_member(pair):
    kept = pair.trainer.programs.keep
    zeros, ones = (
        jax.device_put(jax.tree.map(like, pair.state.average))
        for like in (np.zeros_like, np.ones_like)
    )
    for leaf in jax.tree.leaves(kept(zeros, ones, np.array([False, True]))):
        assert (leaf[0] == 0).all()
        assert (leaf[1] == 1).all()


def test_evaluation_covers_a_data_set_in_batches_of_one_size(base_config, data):
    shapes = []

    def forward(params, data, rows):
        shapes.append(rows.index.shape)
        return params[:, None, None] * data.batch.labels[rows.index][None]

    evaluate = over_data_set(forward, base_config, Resident(data[1], None), batch_size=5)
    probs = evaluate(np.array([1.0, 0.5]))
    assert isinstance(probs, np.ndarray)
    np.testing.assert_array_equal(probs, np.array([1.0, 0.5])[:, None, None] * data[1].labels)
    assert shapes == [(5,)] * 3  # 12 rows: the last call is filled up


def test_a_small_data_set_is_one_call(base_config, data):
    def forward(params, data, rows):
        return params[:, None, None] * data.batch.labels[rows.index][None]

    evaluate = over_data_set(forward, base_config, Resident(data[1], None))
    np.testing.assert_array_equal(evaluate(np.ones(1))[0], data[1].labels)


def test_the_forward_pass_is_the_model_on_normalised_rows(alone, data):
    trainer, params = alone.trainer, alone.trained[0].params
    probs = trainer._evaluate(jax.tree.map(lambda x: x[None], params))[0]
    mean, std = trainer.normalizer
    normalised = {
        name: m.replace(values=(m.values - mean[name]) / std[name])
        for name, m in data[1].modalities.items()
    }
    model = jax.jit(LDDU(trainer.config.model).apply)
    want = model({"params": params}, data[1].replace(modalities=normalised)).probs
    np.testing.assert_allclose(probs, want, rtol=1e-4, atol=1e-5)


def test_batches_are_packed_where_one_device_has_all_their_rows(base_config):
    packing = config.replace(base_config, {"execution.packing": True})
    assert not packs(base_config, None)
    assert packs(packing, None)
    assert packs(packing, training_mesh(1, 8, jax.local_devices()[:1]))
