"""`Bert` against BERT written out in NumPy from the paper, on random weights."""

import jax
import numpy as np
import pytest
from scipy.special import erf

from lddu.config import EncoderConfig
from lddu.features import bert

CONFIG = EncoderConfig(
    hidden=12, layers=2, heads=3, feed_forward=20, dropout=0.0, attention_dropout=0.0
)
VOCABULARY, POSITIONS = 30, 16


@pytest.fixture
def state():
    """A state dict as PyTorch stores it: linear weights are (out, in)."""
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (VOCABULARY, 12),
        "embeddings.position_embeddings.weight": (POSITIONS, 12),
        "embeddings.token_type_embeddings.weight": (2, 12),
        "embeddings.LayerNorm.weight": (12,),
        "embeddings.LayerNorm.bias": (12,),
    }
    for i in range(2):
        at = f"encoder.layer.{i}"
        linear = {f"attention.self.{name}": (12, 12) for name in ("query", "key", "value")}
        linear |= {
            "attention.output.dense": (12, 12),
            "intermediate.dense": (20, 12),
            "output.dense": (12, 20),
        }
        for name, shape in linear.items():
            shapes |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{at}.{name}.weight": (12,), f"{at}.{name}.bias": (12,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def reference(state, pieces):
    """States (T, 12) of one sequence without padding, in float64."""
    w = {name: np.asarray(value, np.float64) for name, value in state.items()}

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][pieces]
    x = x + w["embeddings.position_embeddings.weight"][: len(pieces)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(2):
        at = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{at}.attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            scores = q[:, part] @ k[:, part].T / 2.0  # sqrt(4)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        attended = linear(np.concatenate(heads, -1), f"{at}.attention.output.dense")
        x = norm(x + attended, f"{at}.attention.output.LayerNorm")
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(x + linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


def test_converted_weights_compute_bert(state):
    rows = [[1, 5, 9, 2, 7], [3, 29, 0]]
    pieces, mask = np.zeros((2, 8), int), np.zeros((2, 8), bool)
    pieces[:] = 4  # padding that would show if it were read
    for i, row in enumerate(rows):
        pieces[i, : len(row)], mask[i, : len(row)] = row, True
    module = bert.Bert(CONFIG, VOCABULARY, POSITIONS)
    params = bert.from_state_dict(state, CONFIG)
    out = jax.jit(lambda *args: bert.states(module, *args))(params, pieces, mask)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(out[i, : len(row)], reference(state, row), atol=2e-3)


def test_converted_parameters_have_the_shapes_of_fresh_ones(state):
    module = bert.Bert(CONFIG, VOCABULARY, POSITIONS)
    inputs = np.zeros((1, 4), int), np.ones((1, 4), bool)
    fresh = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    converted = bert.from_state_dict(state, CONFIG)
    assert jax.tree.map(np.shape, fresh) == jax.tree.map(np.shape, converted)


def test_missing_and_misshapen_weights_are_named(state):
    name = "encoder.layer.1.output.dense.weight"
    with pytest.raises(ValueError, match=rf"'{name}' has shape \(20, 12\), expected \(12, 20\)"):
        bert.from_state_dict(state | {name: state[name].T}, CONFIG)
    del state[name]
    with pytest.raises(ValueError, match=f"have no '{name}'"):
        bert.from_state_dict(state, CONFIG)
