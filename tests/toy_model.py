"""A small model and batches for it, compiled once for the tests of the model."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lddu import LDDU
from lddu.config import ExecutionConfig, ModalityConfig, replace, tiny
from lddu.structs import Batch, Modality

PLAIN = ExecutionConfig()
LENGTHS = (4, 2, 6)
WIDTHS = (3, 5, 2)
NAMES = ("text", "audio", "vision")
STRIDES = (3, 1, 2)  # 4 steps in two windows, 2 steps, 6 steps in three windows
RATE = np.array([0.1, 0.5, 0.8])
ROWS = 5
# Compiled without optimisation: these programs run for microseconds and compile for seconds.
FAST = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
jit = partial(jax.jit, compiler_options=FAST)


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


@functools.cache
def build(modalities=3, labels=3, statistics=4, strides=(1, 1, 1), execution=PLAIN, **changes):
    """Configuration, random variables (compiling no init) and the jitted model."""
    shapes = zip(NAMES, WIDTHS, LENGTHS, strides, strict=True)
    streams = [ModalityConfig(*shape) for shape in shapes][:modalities]
    cfg = tiny(streams, [f"label {c}" for c in range(labels)])
    changes["statistics"] = statistics
    cfg = replace(cfg, {f"model.{k}": v for k, v in changes.items()}).model
    module = LDDU(cfg, execution)
    shapes = jax.eval_shape(module.init, jax.random.key(0), make_batch(modalities, labels))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)
    return cfg, variables, jit(module.apply, static_argnames="deterministic")


@functools.cache
def slopes():
    """The gradient of `trained_on`."""
    cfg, _, _ = build()
    return jit(jax.grad(lambda variables, batch: trained_on(LDDU(cfg).apply(variables, batch))))


def close(got, want, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-5, **tolerance}
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), got, want)


def finite(tree):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


def change(batch, name, values=None, mask=None, present=None):
    modality = batch.modalities[name]
    modality = Modality(
        modality.values if values is None else values, modality.mask if mask is None else mask
    )
    present = batch.present if present is None else {**batch.present, name: present}
    return batch.replace(modalities={**batch.modalities, name: modality}, present=present)


def trained_on(prediction):
    """A sum over everything in a prediction that is trained on."""
    p = prediction
    return p.logits.sum() + p.unimodal_logits.sum() + jnp.log(p.fused.var).sum()
