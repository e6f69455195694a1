import jax
import numpy as np
import pytest
from scipy.special import expit, logit

from lddu.config import ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.official.gate import GateFusion

B, C, H, Z = 4, 3, 6, 4
PRESENT = np.array([[1, 1], [0, 1], [1, 0], [0, 0]], bool)
RNG = np.random.default_rng(0)
FEATURES = [RNG.normal(size=(B, C, H)).astype(np.float32) for _ in range(2)]
LATENTS = [
    Gaussian(
        RNG.normal(size=(B, C, Z)).astype(np.float32),
        RNG.uniform(0.2, 3, (B, C, Z)).astype(np.float32),
    )
    for _ in range(2)
]
CONFIG = ModelConfig(
    tuple(ModalityConfig(f"m{i}", 2, 2) for i in range(2)),
    tuple(f"label {c}" for c in range(C)),
    fusion="gate",
    latent=Z,
    head_hidden=7,
)


@pytest.fixture(scope="module")
def gate():
    """Random parameters, and the jitted gate."""
    module, inputs = GateFusion(CONFIG), (FEATURES, LATENTS, PRESENT)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, False))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)

    @jax.jit
    def run(params):
        return module.apply({"params": params}, *inputs, False)

    return params, run


def head(params, parts):
    """A head in float64 on joined parts, of which missing ones are zero."""
    x = np.concatenate([x * PRESENT[:, m, None, None] for m, x in enumerate(parts)], -1)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    if params["out"]["bias"].ndim == 1:  # shared by the labels
        params = jax.tree.map(lambda p: np.stack([p] * C), params)
    h = np.einsum("bcd,cdh->bch", x, params["hidden"]["kernel"]) + params["hidden"]["bias"]
    out = np.einsum("bch,cho->bco", np.maximum(h, 0), params["out"]["kernel"])
    return expit((out + params["out"]["bias"])[..., 0])


def test_is_the_mixture_of_two_heads(gate):
    params, run = gate
    assert params["direct"]["hidden"]["kernel"].shape == (2 * H, 7)
    assert params["mean"]["hidden"]["kernel"].shape == (C, 2 * Z, 7)
    direct = head(params["direct"], FEATURES)
    mean = head(params["mean"], [q.mean for q in LATENTS])
    spread = head(params["deviation"], [np.sqrt(q.var) for q in LATENTS])
    fused = run(params)
    np.testing.assert_allclose(expit(fused.direct_logits), direct, rtol=1e-4)
    want = logit(direct * mean + (1 - direct) * spread)
    np.testing.assert_allclose(fused.logits, want, rtol=1e-4, atol=1e-4)


def test_stays_finite_where_probabilities_round_to_one(gate):
    params, run = gate
    certain = jax.tree.map(np.copy, params)
    for name in ("direct", "mean", "deviation"):
        certain[name]["out"]["bias"][...] = 60.0
    logits = run(certain).logits
    assert ((logits > 40) & (logits < 80)).all()
