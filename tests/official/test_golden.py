"""The official LDDU's numbers, stage by stage, in float32 and float64."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lddu import LDDU
from lddu.gaussian import Gaussian
from lddu.losses import Bank, objective
from lddu.losses.contrastive import embed, label_state_classes
from lddu.official import weights as convert
from lddu.official.optimizer import bert_adam
from lddu.structs import Batch, Modality

# Probabilities and losses. In float64 epsilons inside roots differ by more than rounding.
ABSOLUTE = {"float32": 1e-5, "float64": 1e-9}
GRADIENT = {"float32": 1e-4, "float64": 1e-6}  # relative to the tensor's largest entry


def compute(config, names, params, batch, bank):
    """Everything that the tests look at, with its gradient, in one program."""
    model, batch_anchors = LDDU(config.model), dataclasses.replace(config.loss, anchors="batch")

    def total(params):
        p, inner = model.apply({"params": params}, batch, capture_intermediates=True)
        value, terms, after = objective(p, batch, bank, config.model, config.loss)
        _, own, _ = objective(p, batch, bank, config.model, batch_anchors)
        stacked = Gaussian(
            *(jnp.stack(x, 1) for x in zip(*(p.latents[n] for n in names), strict=True))
        )
        where = jnp.ones((batch.labels.shape[0], len(names)), bool)
        stages = {
            "latents": p.latents,
            "probs": {"final": p.probs, "dir": jax.nn.sigmoid(p.direct_logits)},
            "terms": {**terms, "total": value, "batch_anchors": own["contrastive"]},
            "bank": after,
            "features": embed(stacked, "cosine").reshape(-1, 32),
            "classes": label_state_classes(batch.labels, 3, where, cross_modal=False).reshape(-1),
        }
        inner = inner["intermediates"]
        for n in names:
            stages[f"encoded_{n}"] = inner[f"encoder_{n}"]["__call__"][0]
            stages[f"label_features_{n}"] = inner[f"label_attention_{n}"]["__call__"][0]
        for name, head in (("center", "mean"), ("uncertainty", "deviation")):
            logits = inner["fusion"][head]["__call__"][0]
            stages["probs"][name] = jax.nn.sigmoid(logits)
        return value, stages

    (_, stages), slope = jax.value_and_grad(total, has_aux=True)(params)
    return stages, slope


@pytest.fixture(params=["float32", "float64"])
def ours(request, instances):
    """The same instance through this library, in one of two precisions."""
    return instances(request.param)


@pytest.fixture(scope="module")
def instances(golden):
    return functools.cache(functools.partial(compute_instance, golden))


def compute_instance(golden, dtype):
    arrays, names = golden.arrays, golden.names
    with jax.enable_x64(dtype == "float64"):
        values = {n: arrays[f"in/{n}"].astype(dtype) for n in names}
        batch = Batch(
            {n: Modality(x, np.ones(x.shape[:2], bool)) for n, x in values.items()},
            {n: np.ones(len(x), bool) for n, x in values.items()},
            arrays["in/labels"].astype(dtype),
        )
        bank = Bank(
            arrays["in/queue"].astype(dtype),
            arrays["in/queue_labels"][:, 0].astype(np.int32),
            np.ones(len(arrays["in/queue"]), dtype),
            np.zeros((), np.int32),
        )
        params = convert.from_official(golden.weights, golden.config).params
        params = jax.tree.map(lambda x: x.astype(dtype), params)
        run = jax.jit(compute, static_argnums=(0, 1))
        stages, slope = jax.device_get(run(golden.config, names, params, batch, bank))
    assert stages["probs"]["final"].dtype == dtype
    return SimpleNamespace(
        golden=arrays,
        stages=stages,
        gradient=convert.to_official(slope, golden.config),
        atol=ABSOLUTE[dtype],
        rtol=GRADIENT[dtype],
    )


def same(ours, got, name):
    want = ours.golden[name]
    np.testing.assert_allclose(got, want, rtol=0, atol=ours.atol)
    assert np.ptp(want) > 0.1  # there is something to compare


def same_stage(ours, got, name):
    # Rounding grows with the values and on the way through three networks: of the largest entry,
    # about 1e-6 in float32.
    want = ours.golden[name]
    tolerance = 2 * ours.atol * max(1, np.abs(want).max())
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
    assert np.ptp(want) > 0.1


@pytest.mark.parametrize("modality", ["vision", "audio", "text"])
def test_encoder(ours, modality):
    same_stage(ours, ours.stages[f"encoded_{modality}"], f"out/encoded_{modality}")


@pytest.mark.parametrize("modality", ["vision", "audio", "text"])
def test_label_attention(ours, modality):
    same_stage(ours, ours.stages[f"label_features_{modality}"], f"out/label_features_{modality}")


@pytest.mark.parametrize("modality", ["vision", "audio", "text"])
def test_latent_mean(ours, modality):
    same_stage(ours, ours.stages["latents"][modality].mean, f"out/mu_{modality}")


@pytest.mark.parametrize("modality", ["vision", "audio", "text"])
def test_latent_log_variance(ours, modality):
    same_stage(ours, np.log(ours.stages["latents"][modality].var), f"out/logvar_{modality}")


@pytest.mark.parametrize("name", ["dir", "center", "uncertainty", "final"])
def test_probabilities(ours, name):
    same(ours, ours.stages["probs"][name], f"out/p_{name}")


@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("nll", "cls"),
        ("direct", "dir"),
        ("contrastive", "scl"),
        ("batch_anchors", "scl_batch_anchors"),
        ("spread", "crl"),
        ("total", "total"),
    ],
)
def test_losses(ours, term, name):
    want = ours.golden[f"out/loss_{name}"]
    np.testing.assert_allclose(ours.stages["terms"][term], want, rtol=0, atol=ours.atol)


def test_anchors_matter(golden):
    losses = [golden.arrays[f"out/loss_{name}"] for name in ("scl", "scl_batch_anchors")]
    assert abs(losses[0] - losses[1]) > 0.01


def test_every_gradient(ours):
    want = {name[5:]: array for name, array in ours.golden.items() if name.startswith("grad/")}
    assert set(ours.gradient) == set(want)
    wrong = {}
    for name, slope in ours.gradient.items():
        # Softmax ignores what all its keys share, so the gradient of a key bias is zero but for
        # rounding; it is measured against that of the query bias in the same layer.
        scale = np.abs(want[name.replace("self.key.bias", "self.query.bias")]).max()
        assert slope.shape == want[name].shape
        assert scale > 0
        error = np.abs(slope - want[name]).max() / scale
        if not error <= ours.rtol:
            wrong[name] = error
    assert not wrong


def test_contrastive_features_and_classes(ours):
    same_stage(ours, ours.stages["features"], "contrastive_features")
    want = ours.golden["contrastive_labels"][:, 0]
    np.testing.assert_array_equal(ours.stages["classes"], want)
    assert len(set(want)) > 18  # both states of most of the 18 entries of a sample


def test_bank_after_one_step(ours):
    bank = ours.stages["bank"]
    same_stage(ours, bank.features, "queue_after")
    np.testing.assert_array_equal(bank.classes, ours.golden["queue_labels_after"][:, 0])
    assert bank.cursor == 72


def test_optimizer(golden):
    def at(step, prefix=""):
        names = {"kernel": "weight", "bias": "bias"}  # a bias does not decay
        return {
            n: golden.arrays[f"adam/{prefix}{official}_{step}"] for n, official in names.items()
        }

    with jax.enable_x64(True):
        optimizer = bert_adam(2e-3, total_steps=20, warmup=0.1, weight_decay=0.01, clip_norm=1.0)
        params = jax.tree.map(jnp.asarray, at(0))
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for step in range(1, 9):
            updates, state = update(at(step, "grad_"), state, params)
            params = optax.apply_updates(params, updates)
            for name, want in at(step).items():
                assert params[name].dtype == np.float64
                np.testing.assert_allclose(
                    params[name], want, rtol=0, atol=1e-10, err_msg=f"{name}, step {step}"
                )
    assert np.abs(at(8)["kernel"] - at(0)["kernel"]).max() > 1e-3


def test_double_precision_does_not_outlive_its_tests(ours):
    assert jnp.zeros(()).dtype == np.float32
