"""A tiny model with strides, statistics and three modalities, and batches for it."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import LDDU
from lddu.config import ExecutionConfig, ModalityConfig, replace, tiny
from lddu.packing.plan import first_fit, lengths, widths
from lddu.packing.structs import Packing
from lddu.structs import Batch, Modality

NAMES = ("text", "audio", "vision")
LENGTHS, WIDTHS = (4, 2, 6), (3, 5, 2)
STRIDES = (3, 1, 2)  # 4 steps in two windows, 2 steps, 6 steps in three windows
ROWS = 5
PLAIN = ExecutionConfig()


def make_batch(modalities=3, labels=3, seed=0):
    """Every modality of another length and width; row r lacks modality m where r = m + 1."""
    rng = np.random.default_rng(seed)
    streams, present = {}, {}
    for m, name in enumerate(NAMES[:modalities]):
        values = rng.normal(size=(ROWS, LENGTHS[m], WIDTHS[m])).astype(np.float32)
        mask = np.arange(LENGTHS[m]) < rng.integers(1, LENGTHS[m] + 1, (ROWS, 1))
        streams[name] = Modality(values, mask)
        present[name] = np.arange(ROWS) != m + 1
    return Batch(streams, present, (rng.random((ROWS, labels)) < 0.5).astype(np.float32))


def make_sparse_batch():
    """Short and long sequences, some with gaps, NaN at masked steps, and a row without anything."""
    batch = make_batch()
    masks = {
        "text": ["1000", "1000", "1101", "1111", "1000"],
        "audio": ["10", "11", "01", "11", "10"],
        "vision": ["010000", "110110", "110000", "111111", "001000"],
    }
    for name, rows in masks.items():
        mask = np.array([[step == "1" for step in row] for row in rows])
        values = np.where(mask[..., None], batch.modalities[name].values, np.float32(np.nan))
        batch = change(batch, name, values, mask, batch.present[name] & (np.arange(ROWS) != 3))
    return batch


def change(batch, name, values=None, mask=None, present=None):
    """A copy of a batch with other values, mask or presence of one modality."""
    modality = batch.modalities[name]
    modality = Modality(
        modality.values if values is None else values, modality.mask if mask is None else mask
    )
    present = batch.present if present is None else {**batch.present, name: present}
    return batch.replace(modalities={**batch.modalities, name: modality}, present=present)


@functools.cache
def configure(modalities=3, labels=3, statistics=4, strides=STRIDES, **changes):
    """The configuration of a model."""
    shapes = zip(NAMES, WIDTHS, LENGTHS, strides, strict=True)
    streams = [ModalityConfig(*shape) for shape in shapes][:modalities]
    cfg = tiny(streams, [f"label {c}" for c in range(labels)])
    changes["statistics"] = statistics
    changes = {f"model.{name}": value for name, value in changes.items()}
    return replace(cfg, {"loss.unimodal": 0.0, **changes}).model  # whatever the fusion


@functools.cache
def random_variables(config):
    """Random variables (compiling no init)."""
    batch = make_batch(len(config.modalities), len(config.labels))
    shapes = jax.eval_shape(LDDU(config).init, jax.random.key(0), batch)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


@functools.cache
def predictor(config, execution=PLAIN):
    """The jitted model."""
    return jax.jit(LDDU(config, execution).apply, static_argnames="deterministic")


@functools.cache
def learner(config, execution=PLAIN):
    """The jitted prediction, and the gradient of all in it that is trained on."""

    def total(variables, batch, packing):
        p = LDDU(config, execution).apply(variables, batch, packing=packing)
        return p.logits.sum() + p.unimodal_logits.sum() + jnp.log(p.fused.var).sum(), p

    def run(variables, batch, packing=None):
        slope, prediction = jax.grad(total, has_aux=True)(variables, batch, packing)
        return prediction, slope

    return jax.jit(run)


def pack(config, batch):
    """Packings by modality, in each of which some samples share a row."""
    packing = {}
    for name, steps in lengths(batch, config).items():
        slots, rows = first_fit(steps[None], widths(batch, config)[name])
        packing[name] = Packing(slots[0], int(rows[0]))
        assert rows[0] < (steps > 0).sum()
    return packing


def unused(slope):
    """Paths of the variables without any gradient."""
    leaves = jax.tree_util.tree_leaves_with_path(slope)
    return [jax.tree_util.keystr(path) for path, g in leaves if not np.any(g)]


@pytest.fixture(scope="session")
def models():
    """Functions of this file, with the compiled models that they keep for all tests."""
    return SimpleNamespace(
        names=NAMES,
        rows=ROWS,
        batch=make_batch,
        sparse_batch=make_sparse_batch,
        change=change,
        configure=configure,
        variables=random_variables,
        predictor=predictor,
        learner=learner,
        pack=pack,
        unused=unused,
    )


@pytest.fixture(scope="session")
def tiny_model(models):
    """The model of three modalities: `predict(batch)`, `learn(batch)`, variables and batch."""
    config = configure()
    variables, run = random_variables(config), learner(config)
    return SimpleNamespace(
        config=config,
        variables=variables,
        batch=make_batch(),
        learn=lambda batch, variables=variables: run(variables, batch),
        predict=lambda batch, variables=variables: run(variables, batch)[0],
    )
