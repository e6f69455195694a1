import jax
import numpy as np
import optax

from lddu import config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.training.state import _init, create_state

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)


def test_create_state():
    cfg = config.tiny({"x": (3, 4)}, ["a", "b"])
    example = generate(1, config=LAW).batch
    rate = np.array([0.2, 0.7])

    def create(seed, average=0.0):
        changed = config.replace(cfg, {"train.average": average})
        return create_state(jax.random.key(seed), changed, optax.sgd(0.1), example, rate)

    state = create(0)
    assert state.step == 0
    assert state.average is None
    assert state.eval_params is state.params
    np.testing.assert_allclose(
        jax.nn.sigmoid(state.params["fusion"]["head"]["prior_logit"]), rate, rtol=1e-5
    )
    assert (state.bank.classes == -1).all()

    compiled = _init._cache_size()
    again, other, averaged = create(0), create(1), create(0, average=0.9)
    assert _init._cache_size() == compiled  # once for all members
    jax.tree.map(np.testing.assert_array_equal, state.params, again.params)
    assert (
        state.params["fusion"]["head"]["weight"] != other.params["fusion"]["head"]["weight"]
    ).any()
    assert averaged.eval_params is averaged.average
    jax.tree.map(np.testing.assert_array_equal, averaged.average, averaged.params)
