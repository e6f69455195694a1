import functools
import re

import chex
import jax
import numpy as np
import pytest

from lddu import LDDU, config
from lddu.model import example_batch
from lddu.official.weights import from_official, to_official

# In the official state dict, but never called by the official forward pass.
DEAD = {
    f"{name}.{kind}"
    for name in (
        *(f"{encoder}.pooler.dense" for encoder in ("bert", "visual", "audio")),
        *(f"{head}.{i}" for head in ("final_classifer2", "var_classifier2") for i in (0, 3)),
    )
    for kind in ("weight", "bias")
}


@pytest.fixture
def official(golden):
    """The official state dict of the golden instance; do not modify."""
    return golden.weights


assert_identical = functools.partial(chex.assert_trees_all_equal, strict=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_official_to_ours_and_back(golden, official, dtype):
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(dtype) for name, a in official.items()}
    converted = from_official(state, golden.config)
    assert {leaf.dtype for leaf in jax.tree.leaves(converted.params)} == {np.dtype(dtype)}
    live = {name: array for name, array in state.items() if name not in DEAD}
    assert_identical(to_official(converted.params, golden.config), live)


@pytest.mark.parametrize(
    "shapes",
    [
        {"vision": (7, 60), "audio": (9, 60), "text": (12, 60)},
        {"text": (3, 8)},
        {"vision": (2, 500), "text": (3, 50)},
    ],
    ids="-".join,
)
def test_ours_to_official_and_back(golden, shapes):
    cfg = golden.configure(shapes, "abc", latent=4)
    init = LDDU(cfg.model).init
    tree = jax.eval_shape(lambda: init(jax.random.key(0), example_batch(cfg.model)))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), tree)
    state = to_official(params, cfg)
    converted = from_official(state, cfg)
    assert_identical(converted.params, params)
    assert converted.unused == ()
    # Nothing is lost and nothing is there twice.
    assert sum(a.size for a in state.values()) == sum(x.size for x in jax.tree.leaves(params))


def test_each_array_lands_where_it_belongs(golden, official):
    params = from_official(official, golden.config).params
    layer = params["encoder_audio"]["transformer"]["layer_1"]
    query = official["audio.encoder.layer.1.attention.self.query.weight"]
    np.testing.assert_array_equal(layer["query"]["kernel"][:, 2, 5], query[2 * 8 + 5])
    out = official["audio.encoder.layer.1.attention.output.dense.weight"]
    np.testing.assert_array_equal(layer["attention_out"]["kernel"][2, 5], out[:, 2 * 8 + 5])
    heads = params["fusion"]["deviation"]
    np.testing.assert_array_equal(
        heads["hidden"]["kernel"][4], official["var_classifier1.4.0.weight"].T
    )
    np.testing.assert_array_equal(heads["out"]["bias"][4], official["var_classifier1.4.3.bias"])
    np.testing.assert_array_equal(
        params["latent_text"]["variance"]["bias"], official["encoder.2.fc_var.bias"]
    )


def test_unused_names_are_reported(golden, official):
    assert set(from_official(official, golden.config).unused) == DEAD
    more = from_official({**official, "extra.weight": np.zeros(2)}, golden.config).unused
    assert more == tuple(sorted(DEAD | {"extra.weight"}))
    live = {name: array for name, array in official.items() if name not in DEAD}
    assert from_official(live, golden.config).unused == ()


def test_all_that_is_missing_or_misshapen_is_named(golden, official):
    state = dict(official)
    missing = ("embedding_layer.weight", "var_classifier1.3.0.bias", "encoder.1.fc_mu.weight")
    for name in missing:
        del state[name]
    state["bert.embeddings.LayerNorm.bias"] = np.zeros(33)
    state["final_classifier.2.0.weight"] = np.zeros((48, 16))  # transposed
    state["visual.encoder.layer.0.attention.self.key.weight"] = np.zeros((32, 4, 8))
    with pytest.raises(ValueError, match="do not fit the configuration") as caught:
        from_official(state, golden.config)
    problems = str(caught.value).removeprefix("official weights do not fit the configuration: ")
    assert set(problems.split("; ")) == {
        *(f"{name} is missing" for name in missing),
        "bert.embeddings.LayerNorm.bias has shape (33,), expected (32,)",
        "final_classifier.2.0.weight has shape (48, 16), expected (16, 48)",
        "visual.encoder.layer.0.attention.self.key.weight has shape (32, 4, 8), expected (32, 32)",
    }


def test_the_prefix_of_data_parallel_training_is_dropped(golden, official):
    prefixed = {f"module.{name}": array for name, array in official.items()}
    got, want = from_official(prefixed, golden.config), from_official(official, golden.config)
    assert_identical(got.params, want.params)
    assert got.unused == want.unused


def test_a_prefix_that_not_all_names_have_stays(golden, official):
    prefixed = {f"module.{name}": array for name, array in official.items()}
    bias = prefixed.pop("module.common_classfier.0.bias")
    with pytest.raises(ValueError, match=r"embedding_layer\.weight is missing"):
        from_official({**prefixed, "common_classfier.0.bias": bias}, golden.config)


@pytest.mark.parametrize("as_text", [True, False])
def test_reads_a_torch_file(golden, official, torch_writer, tmp_path, as_text):
    path = tmp_path / "pytorch_model.bin.4"
    arrays = enumerate(official.items())
    tensors = {f"module.{name}": torch_writer.whole_tensor(a, str(i)) for i, (name, a) in arrays}
    path.write_bytes(torch_writer.zip_file(tensors))
    got = from_official(str(path) if as_text else path, golden.config)
    assert_identical(got.params, from_official(official, golden.config).params)
    assert set(got.unused) == DEAD


def test_a_torch_file_without_a_state_dict(golden, official, torch_writer, tmp_path):
    path = tmp_path / "tensor.bin"
    path.write_bytes(
        torch_writer.zip_file(torch_writer.whole_tensor(official["embedding_layer.weight"]))
    )
    with pytest.raises(ValueError, match=r"expected a state dict .*, got ndarray; save"):
        from_official(path, golden.config)


@pytest.mark.parametrize(
    ("configure", "message"),
    [
        (lambda g: config.default(g.shapes, [*"abcdef"]), "fusion='precision'"),
        (lambda g: g.configure(statistics=3), "statistics=3"),
        (lambda g: g.configure(latent_hidden=(24, 16)), "latent_hidden=(24, 16)"),
        (lambda g: g.configure({**g.shapes, "smell": (3, 4)}), "'text', 'smell']"),
        (
            lambda g: g.configure(dict(reversed(g.shapes.items()))),
            "modalities=['text', 'audio', 'vision']",
        ),
    ],
    ids=["default", "statistics", "depth", "unknown modality", "order"],
)
def test_another_model_than_the_official_is_refused(golden, official, configure, message):
    for convert in (from_official, to_official):
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            convert(official, configure(golden))
        assert "only the official model's form converts" in str(caught.value)


def test_more_labels_than_the_weights_have(golden, official):
    with pytest.raises(ValueError, match="do not fit") as caught:
        from_official(official, golden.configure(labels="abcdefg"))
    for problem in (
        "embedding_layer.weight has shape (6, 32), expected (7, 32)",
        "final_classifier.6.0.weight is missing",
        "var_classifier1.6.3.bias is missing",
    ):
        assert problem in str(caught.value)


def test_fewer_labels_than_the_weights_have(golden, official):
    with pytest.raises(ValueError) as caught:
        from_official(official, golden.configure(labels="abcde"))
    problems = str(caught.value).split(": ", 1)[1]
    assert problems == "embedding_layer.weight has shape (6, 32), expected (5, 32)"
