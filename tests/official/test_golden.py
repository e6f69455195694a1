"""The official LDDU's numbers, stage by stage.

`golden/official_lddu_small.npz` holds what the authors' PyTorch code computes in float64 on a small
instance: weights and inputs, every intermediate, loss and gradient, and steps of its optimiser.
"""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lddu import LDDU, config
from lddu.gaussian import Gaussian
from lddu.losses import Bank, objective
from lddu.losses.contrastive import embed, label_state_classes
from lddu.official import weights as convert
from lddu.structs import Batch, Modality
from lddu.training.optimizer import bert_adam

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "official_lddu_small.npz"))
WEIGHTS = {name[2:]: array for name, array in GOLDEN.items() if name.startswith("w/")}
NAMES = ("vision", "audio", "text")  # the order in which the official code concatenates
CONFIG = config.replace(
    config.paper({n: (GOLDEN[f"in/{n}"].shape[-1], 60) for n in NAMES}, [*"abcdef"]),
    {
        "model.encoder.hidden": 32,
        "model.encoder.feed_forward": 48,
        "model.encoder.heads": 4,
        "model.encoder.layers": 2,
        "model.latent": 16,
        "model.latent_hidden": (24, 16, 16),
        "model.head_hidden": 16,
        "loss.bank_size": 256,
    },
)
BATCH_ANCHORS = config.replace(CONFIG, {"loss.anchors": "batch"}).loss
# Compiled without optimisation: this program runs for milliseconds and compiles for seconds.
FAST = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
jit = partial(jax.jit, compiler_options=FAST)
ABSOLUTE = {"float32": 1e-5, "float64": 1e-9}
GRADIENT = {"float32": 1e-4, "float64": 1e-6}  # relative to the tensor's largest entry


def compute(params, batch, bank):
    """Everything that the tests look at, with its gradient, in one program."""
    model = LDDU(CONFIG.model)

    def total(params):
        p, inner = model.apply({"params": params}, batch, capture_intermediates=True)
        value, terms, after = objective(p, batch, bank, CONFIG.model, CONFIG.loss)
        _, own, _ = objective(p, batch, bank, CONFIG.model, BATCH_ANCHORS)
        stacked = Gaussian(
            *(jnp.stack(x, 1) for x in zip(*(p.latents[n] for n in NAMES), strict=True))
        )
        where = jnp.ones((batch.labels.shape[0], len(NAMES)), bool)
        stages = {
            "latents": p.latents,
            "probs": {"final": p.probs, "dir": jax.nn.sigmoid(p.direct_logits)},
            "terms": {**terms, "total": value, "batch_anchors": own["contrastive"]},
            "bank": after,
            "features": embed(stacked, "cosine").reshape(-1, 32),
            "classes": label_state_classes(batch.labels, 3, where, cross_modal=False).reshape(-1),
        }
        inner = inner["intermediates"]
        for n in NAMES:
            stages[f"encoded_{n}"] = inner[f"encoder_{n}"]["__call__"][0]
            stages[f"label_features_{n}"] = inner[f"label_attention_{n}"]["__call__"][0]
        for name, head in (("center", "mean"), ("uncertainty", "deviation")):
            logits = inner["fusion"][head]["__call__"][0]
            stages["probs"][name] = jax.nn.sigmoid(logits)
        return value, stages

    (_, stages), slope = jax.value_and_grad(total, has_aux=True)(params)
    return stages, slope


@pytest.fixture(scope="module", params=["float32", "float64"])
def ours(request):
    """The same instance through this library, in one of two precisions."""
    with jax.enable_x64(request.param == "float64"):
        batch = Batch(
            {
                n: Modality(
                    GOLDEN[f"in/{n}"].astype(request.param),
                    np.ones(GOLDEN[f"in/{n}"].shape[:2], bool),
                )
                for n in NAMES
            },
            {n: np.ones(4, bool) for n in NAMES},
            GOLDEN["in/labels"].astype(request.param),
        )
        bank = Bank(
            GOLDEN["in/queue"].astype(request.param),
            GOLDEN["in/queue_labels"][:, 0].astype(np.int32),
            np.zeros((), np.int32),
        )
        params = convert.from_official(WEIGHTS, CONFIG).params
        params = jax.tree.map(lambda x: x.astype(request.param), params)
        stages, slope = jax.device_get(jit(compute)(params, jax.device_put(batch), bank))
    assert stages["probs"]["final"].dtype == request.param
    return SimpleNamespace(
        stages=stages,
        gradient=convert.to_official(slope, CONFIG),
        atol=ABSOLUTE[request.param],
        rtol=GRADIENT[request.param],
    )


def same(ours, got, name):
    np.testing.assert_allclose(got, GOLDEN[name], rtol=0, atol=ours.atol)
    assert np.ptp(GOLDEN[name]) > 0.1  # there is something to compare


@pytest.mark.parametrize("modality", NAMES)
def test_encoder(ours, modality):
    same(ours, ours.stages[f"encoded_{modality}"], f"out/encoded_{modality}")


@pytest.mark.parametrize("modality", NAMES)
def test_label_attention(ours, modality):
    same(ours, ours.stages[f"label_features_{modality}"], f"out/label_features_{modality}")


@pytest.mark.parametrize("modality", NAMES)
def test_latent_mean(ours, modality):
    same(ours, ours.stages["latents"][modality].mean, f"out/mu_{modality}")


@pytest.mark.parametrize("modality", NAMES)
def test_latent_log_variance(ours, modality):
    same(ours, np.log(ours.stages["latents"][modality].var), f"out/logvar_{modality}")


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
    want = GOLDEN[f"out/loss_{name}"]
    np.testing.assert_allclose(ours.stages["terms"][term], want, rtol=0, atol=ours.atol)


def test_anchors_matter():
    assert abs(GOLDEN["out/loss_scl"] - GOLDEN["out/loss_scl_batch_anchors"]) > 0.01


def test_every_gradient(ours):
    want = {name[5:]: array for name, array in GOLDEN.items() if name.startswith("grad/")}
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
    same(ours, ours.stages["features"], "contrastive_features")
    want = GOLDEN["contrastive_labels"][:, 0]
    np.testing.assert_array_equal(ours.stages["classes"], want)
    assert len(set(want)) > 18  # both states of most of the 18 entries of a sample


def test_bank_after_one_step(ours):
    bank = ours.stages["bank"]
    same(ours, bank.features, "queue_after")
    np.testing.assert_array_equal(bank.classes, GOLDEN["queue_labels_after"][:, 0])
    assert bank.cursor == 72


def test_optimizer():
    def at(step, prefix=""):
        names = {"kernel": "weight", "bias": "bias"}  # a bias does not decay
        return {n: GOLDEN[f"adam/{prefix}{official}_{step}"] for n, official in names.items()}

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
