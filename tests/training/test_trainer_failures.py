"""Labels of other kinds, and training that fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ENTROPY = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))


def with_data(case, train, valid):
    """A trainer on other data."""
    return type(case.trainer)(case.trainer.config, train, valid)


def with_labels(case, data, labels):
    return with_data(case, data[0].replace(labels=labels.astype(np.float32)), data[1])


def test_soft_labels_and_labels_that_never_occur(alone, data):
    labels = np.random.default_rng(0).random((20, 2)).round(1)
    labels[:, 1] = 0
    compiled = alone.trainer.programs.step.jitted._cache_size()
    (trained,) = with_labels(alone, data, labels).run(progress=False)
    assert alone.trainer.programs.step.jitted._cache_size() == compiled
    assert all(np.isfinite(v) for record in trained.history for v in record.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.params))
    rate = jax.nn.sigmoid(trained.params["fusion"]["head"]["prior_logit"])
    weight = data[0].weight
    total = weight.sum() + 2
    want = [(weight @ labels[:, 0] + 1) / total, 1 / total]
    np.testing.assert_allclose(rate, want, rtol=1e-4)


def test_soft_labels_are_not_rounded(alone, data):
    soft = np.full((20, 2), 0.7)
    (trained,) = with_labels(alone, data, soft).run(progress=False)
    # Never below the entropy of the targets; to rounded labels there is no such bound.
    assert all(record["train_nll"] >= ENTROPY - 1e-4 for record in trained.history)
    (rounded,) = with_labels(alone, data, soft.round()).run(progress=False)
    assert rounded.history[0]["train_nll"] != trained.history[0]["train_nll"]


def test_a_member_that_is_not_finite_is_an_error_that_names_it(case, tmp_path):
    broken = case.members[-1]

    def breaking(number, state):
        # In the last step of an epoch: only validation can see it.
        if number != 6:
            return state
        average = jax.tree.map(lambda x: x.at[broken].set(jnp.nan), state.average)
        return state.replace(average=average)

    message = rf"member {broken} is not finite in epoch 2 \(valid_nll=nan\)"
    with pytest.raises(FloatingPointError, match=message):
        case.after_steps(breaking).run(case.members, tmp_path, progress=False)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(case.members)  # those of the first epoch


def test_divergence_is_an_error_that_names_the_epoch(alone, tmp_path):
    def diverging(number, state):
        # So large that a product overflows in the second epoch's first step.
        if number != 3:
            return state
        return state.replace(params=jax.tree.map(lambda x: x + 3e38, state.params))

    with pytest.raises(FloatingPointError, match=r"not finite in epoch 2.*learning rate"):
        alone.after_steps(diverging).run(folder=tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_loss_that_is_not_finite_is_an_error(alone, data):
    train, valid = data
    bad = train.replace(modalities=jax.tree.map(np.copy, train.modalities))
    bad.modalities["x"].values[:, 0] = np.nan
    with pytest.raises(FloatingPointError, match=r"epoch 1 \(train_"):
        with_data(alone, bad, valid).run(progress=False)
