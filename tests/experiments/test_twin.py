"""The PyTorch model that `experiments/benchmark.py` measures against computes what LDDU does."""

import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import LDDU, config
from lddu.losses import empty_bank, enqueue, objective
from lddu.official import weights as convert
from lddu.structs import Batch, Modality

torch = pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[2] / "experiments" / "twin.py"
LABELS, ROWS = 3, 5
STEPS = {"vision": 6, "audio": 9, "text": 4}  # fewer than the position tables have
CONFIG = config.replace(
    config.paper({"vision": (7, 8), "audio": (5, 9)}, ["a", "b", "c"]),
    {
        "model.encoder.hidden": 16,
        "model.encoder.feed_forward": 24,
        "model.encoder.heads": 4,
        "model.encoder.layers": 1,
        "model.mask_padding": True,
        "model.encoder.dropout": 0.0,
        "model.encoder.attention_dropout": 0.0,
        "model.label_dropout": 0.0,
        "model.head_dropout": 0.0,
        "model.head_hidden": 10,
        "model.latent": 6,
        "model.latent_hidden": (14, 12, 11),
        "loss.anchors": "batch",
        "loss.bank_start": "empty",
        # With two modalities two batches fill 60 slots and a third wraps around.
        "loss.bank_size": 80,
    },
)


@pytest.fixture(scope="module")
def twin():
    """The names of experiments/twin.py; PyTorch's threads only wait for each other in so little."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SimpleNamespace(**runpy.run_path(str(SCRIPT)))
    torch.set_num_threads(threads)


def draw(rng, path, leaf):
    """Larger than initial weights, and without zeros, so that everything has a gradient."""
    center, std = {"scale": (1, 0.1), "bias": (0, 0.1)}.get(path[-1].key, (0, 0.35))
    return rng.normal(center, std, leaf.shape).astype(np.float32)


@pytest.fixture(scope="module", params=[True, False], ids=["masked", "unmasked"])
def case(request, twin):
    """One step of ours, and the same weights, batch and bank for the twin."""
    cfg = CONFIG
    if not request.param:  # one modality but more layers, so that it compiles soon
        text = (config.ModalityConfig("text", 6, 8),)
        changes = {"mask_padding": False, "modalities": text, "encoder.layers": 2}
        cfg = config.replace(cfg, {f"model.{name}": x for name, x in changes.items()})
    rng = np.random.default_rng(0)
    values, masks = {}, {}
    for m in cfg.model.modalities:
        steps = STEPS[m.name]
        masks[m.name] = np.arange(steps) < rng.integers(1, steps + 1, (ROWS, 1))
        x = rng.normal(size=(ROWS, steps, m.features)) * masks[m.name][..., None]
        values[m.name] = x.astype(np.float32)
    labels = (rng.random((ROWS, LABELS)) < 0.5).astype(np.float32)
    batch = Batch(
        {name: Modality(values[name], masks[name]) for name in values},
        {name: np.ones(ROWS, bool) for name in values},
        labels,
    )
    tree = jax.eval_shape(LDDU(cfg.model).init, jax.random.key(0), batch)["params"]
    params = jax.tree_util.tree_map_with_path(partial(draw, rng), tree)

    bank, past = twin.Bank(cfg), []
    for _ in range(2):
        entries = ROWS * LABELS * len(values)
        features = rng.normal(size=(entries, 12)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        past.append((features, rng.integers(0, bank.nobody, entries)))
        bank.enqueue(*map(torch.tensor, past[-1]))

    def total(params):
        ours = empty_bank(80, 12)
        for entries in past:
            ours = enqueue(ours, *map(jnp.asarray, entries))
        p = LDDU(cfg.model).apply({"params": params}, batch)
        value, terms, after = objective(p, batch, ours, cfg.model, cfg.loss)
        return value, (p, terms, after)

    step = jax.jit(jax.value_and_grad(total, has_aux=True))
    (value, (prediction, terms, after)), gradient = jax.device_get(step(params))
    return SimpleNamespace(
        config=cfg,
        params=params,
        total=value,
        prediction=prediction,
        terms={name: float(term) for name, term in terms.items()},
        gradient=convert.to_official(gradient, cfg),
        after=after,
        batch=twin.Batch(
            {name: torch.tensor(x) for name, x in values.items()},
            {name: torch.tensor(x) for name, x in masks.items()},
            torch.tensor(labels),
        ),
        bank=bank,
    )


def close(got, want):
    # Rounding of float32, about 1e-6 of the largest entry.
    tolerance = 2e-5 * max(1, np.abs(want).max())
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=tolerance)
    assert np.ptp(want) > 0.05  # there is something to compare


def same_prediction(output, prediction):
    close(output.logits, prediction.logits)
    close(output.direct_logits, prediction.direct_logits)
    for m, name in enumerate(n for n in STEPS if n in prediction.latents):
        q = prediction.latents[name]
        close(output.mean[m], q.mean)
        close(output.deviation[m].square(), q.var)


def same_bank(found, want):
    classes = found.classes.masked_fill(found.classes == found.nobody, -1)
    np.testing.assert_array_equal(classes, want.classes)
    np.testing.assert_allclose(found.features.numpy(), want.features, rtol=0, atol=1e-5)
    assert int(found.cursor) == int(want.cursor)


def test_predictions_losses_and_every_gradient_agree(twin, case):
    model = twin.load(case.params, case.config)
    same_prediction(model(case.batch), case.prediction)
    total, terms, _ = model.loss(case.batch, case.bank)
    assert set(terms) == set(case.terms)
    for name, term in terms.items():
        assert float(term) == pytest.approx(case.terms[name], rel=1e-5)
    assert float(total.detach()) == pytest.approx(float(case.total), rel=1e-5)
    total.backward()
    names, slopes = twin.official_names(case.config), {}
    for name, parameter in model.named_parameters():
        parts = names[name]
        slopes.update(zip(parts, parameter.grad.chunk(len(parts)), strict=True))
    assert set(slopes) == set(case.gradient)
    wrong = {}
    for name, want in case.gradient.items():
        # Softmax ignores what all its keys share: the gradient of a key bias is rounding only.
        scale = np.abs(case.gradient[name.replace("self.key.bias", "self.query.bias")]).max()
        assert slopes[name].shape == want.shape
        assert scale > 0
        error = np.abs(slopes[name].numpy() - want).max() / scale
        if not error <= 2e-4:  # of the tensor's largest entry; rounding is about 1e-5
            wrong[name] = error
    assert not wrong


def test_a_training_step_moves_the_weights_and_fills_the_bank(twin, case):
    model = twin.load(case.params, case.config)
    bank, optimizer = twin.Bank(case.config), twin.adamw(model)
    for part in ("features", "classes", "cursor"):
        getattr(bank, part).copy_(getattr(case.bank, part))
    before = [p.detach().clone() for p in model.parameters()]
    terms = model.train_step(optimizer, case.batch, bank)
    assert {name: float(x) for name, x in terms.items()} == pytest.approx(case.terms, rel=1e-5)
    assert all((p != old).any() for p, old in zip(model.parameters(), before, strict=True))
    same_bank(bank, case.after)
    for _ in range(4):
        later = model.train_step(optimizer, case.batch, bank)
    assert later["nll"] < terms["nll"]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("nested", [True, False])
def test_fused_inference_agrees(twin, case, nested, monkeypatch):
    calls, fused = [], torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(
        torch,
        "_transformer_encoder_layer_fwd",
        lambda x, *args: calls.append(x.is_nested) or fused(x, *args),
    )
    predict = twin.load(case.params, case.config, enable_nested_tensor=nested).eval()
    with torch.inference_mode():
        same_prediction(predict(case.batch), case.prediction)
    model = case.config.model
    assert calls == [nested and model.mask_padding] * len(model.modalities) * model.encoder.layers


def test_dropout_is_where_lddu_has_it(twin):
    rates = {"encoder.dropout": 0.1, "encoder.attention_dropout": 0.2, "head_dropout": 0.3}
    cfg = config.replace(CONFIG, {f"model.{name}": rate for name, rate in rates.items()})
    model = twin.Twin(cfg)
    for stream in model.streams.values():
        assert stream.dropout.p == 0.1
        assert stream.label_dropout.p == 0.0
        for layer in stream.encoder.layers:
            assert layer.self_attn.dropout == 0.2
            assert [layer.dropout.p, layer.dropout1.p, layer.dropout2.p] == [0.0, 0.1, 0.1]
    assert model.direct[1].p == model.heads[1].p == 0.3


def test_a_bank_keeps_the_last_of_too_many_entries(twin):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(130, 12)).astype(np.float32)
    classes, bank = rng.integers(0, 12, 130), twin.Bank(CONFIG)
    for n in (7, 130):
        bank.enqueue(torch.tensor(features[:n]), torch.tensor(classes[:n]))
    # The last 80, from the slot after the first 7.
    np.testing.assert_array_equal(bank.features, np.roll(features[50:], 7, axis=0))
    np.testing.assert_array_equal(bank.classes, np.roll(classes[50:], 7))
    assert int(bank.cursor) == 7


def test_the_loss_is_one_graph(twin):
    model, bank, rng = twin.Twin(CONFIG), twin.Bank(CONFIG), np.random.default_rng(2)
    batch = twin.Batch(
        {
            m.name: torch.tensor(rng.normal(size=(2, 3, m.features)), dtype=torch.float32)
            for m in CONFIG.model.modalities
        },
        {name: torch.ones(2, 3, dtype=torch.bool) for name in CONFIG.model.modality_names},
        torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]),
    )
    compiled = torch.compile(model.loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch, bank)[1], model.loss(batch, bank)[1])


@pytest.mark.parametrize(
    "change",
    [
        {"loss.anchors": "bank"},
        {"loss.temperature": 0.01},
        {"loss.similarity": "bhattacharyya"},
        {"model.statistics": 8},
        {"model.variance": "softplus"},
    ],
    ids=str,
)
def test_what_the_twin_does_not_compute_is_refused(twin, change):
    with pytest.raises(ValueError, match="preset `paper`"):
        twin.Twin(config.replace(CONFIG, change))
