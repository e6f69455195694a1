"""Fixtures shared by all tests: a model trained on a tiny set, and a smaller one never trained."""

import importlib.util
import mmap
import os
from pathlib import Path

import hypothesis
import jax
import jaxlib
import numpy as np
import pytest
import scipy.special

from lddu import config
from lddu.data import synthetic

os.environ.setdefault("MPLBACKEND", "Agg")

# Programs of the tests run for milliseconds and compile for seconds, so XLA optimises little, also
# in the commands that tests start. XLA_FLAGS that set the level keep all their own choices.
LIGHT = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def known(flags):
    """Those flags that this version of XLA knows, since it aborts at any other."""
    for library in Path(jaxlib.__file__).parent.glob("libjax_common.*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as x:
            return [flag for flag in flags if x.find(flag[2:].split("=")[0].encode()) >= 0]
    return []


if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([*known(LIGHT), os.environ.get("XLA_FLAGS", "")]).strip()

# A busy machine is no failure.
hypothesis.settings.register_profile("lddu", deadline=None)
hypothesis.settings.load_profile("lddu")


@pytest.fixture(scope="module", autouse=True)
def give_memory_back():
    """Gives back what compiling took, which would otherwise add up over thousands of tests."""
    from lddu.training import memory

    yield
    memory.trim()


@pytest.fixture(scope="session")
def tiny_data():
    """(train, valid, test) `Synthetic` draws of 96, 48 and 40 samples."""
    return tuple(synthetic.generate(n, seed=n) for n in (96, 48, 40))


@pytest.fixture(scope="session")
def tiny_config(tiny_data):
    """The tiny preset for `tiny_data`, two epochs."""
    train = tiny_data[0]
    cfg = config.tiny(train.shapes(), train.config.labels)
    return config.replace(cfg, {"train.epochs": 2, "model.statistics": 8})


@pytest.fixture(scope="session")
def predictor(tiny_data, tiny_config):
    """A predictor with two members trained on `tiny_data`; do not modify."""
    import lddu

    train, valid, _ = tiny_data
    cfg = config.replace(tiny_config, {"train.members": 2, "train.seed": 2})
    return lddu.fit(cfg, train.batch, valid.batch, progress=False)


TOY_LAW = synthetic.SyntheticConfig(
    labels=("a", "b"), features=(("x", 3), ("y", 4)), length=(("x", 5), ("y", 2)), missing=0.3
)
TOY_RATE = np.array([0.2, 0.65])


@pytest.fixture(scope="session")
def toy_config():
    """A model of two labels and two modalities, with dropout, that compiles fast."""
    changes = {
        "model.encoder.hidden": 4,
        "model.encoder.feed_forward": 4,
        "model.encoder.dropout": 0.2,
        "model.encoder.attention_dropout": 0.2,
        "model.label_dropout": 0.2,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "model.samples": 2,
        "train.members": 3,
    }
    return config.replace(config.tiny({"x": (3, 5), "y": (4, 2)}, TOY_LAW.labels), changes)


@pytest.fixture(scope="session")
def toy_inputs():
    """40 ragged rows without labels; some lack a modality, and the first lacks both."""
    batch = synthetic.generate(40, seed=3, config=TOY_LAW).batch
    present = {name: here & (np.arange(40) > 0) for name, here in batch.present.items()}
    return batch.replace(present=present, labels=None)


@pytest.fixture(scope="session")
def make_toy(toy_inputs):
    """make_toy(config, inputs=toy_inputs): an uncalibrated predictor with random weights.

    It has two labels with base rates `TOY_RATE`, and is normalised for the inputs.
    """
    import lddu
    from lddu.calibration import Identity
    from lddu.data.normalize import fit_normalizer
    from lddu.model import LDDU, example_batch

    def make(cfg, inputs=toy_inputs):
        rng, model = np.random.default_rng(0), LDDU(cfg.model)
        shapes = jax.eval_shape(model.init, jax.random.key(0), example_batch(cfg.model))
        size = cfg.train.members

        def draw(like):
            return rng.normal(0, 0.8, (size, *like.shape)).astype(np.float32)

        params = jax.tree.map(draw, shapes["params"])
        head = params["fusion"].get("head", {})
        if "prior_logit" in head:
            head["weight"] *= 3  # so that members and samples differ clearly
            head["prior_logit"] = np.tile(np.float32(scipy.special.logit(TOY_RATE)), (size, 1))
        half = np.full(2, 0.5)
        history = tuple({"member": k, "epoch": 1, "valid_nll": 0.5} for k in range(size))
        normalizer = fit_normalizer(inputs)
        return lddu.Predictor(
            cfg, params, normalizer, TOY_RATE, Identity(), np.asarray(0.5), half, history
        )

    return make


@pytest.fixture(scope="session")
def toy(make_toy, toy_config):
    """An uncalibrated predictor of three members with random weights; do not modify."""
    return make_toy(toy_config)


@pytest.fixture(scope="session")
def toy_members(toy, toy_inputs):
    """`Members` of `toy` for `toy_inputs`, with every field."""
    from lddu.predictor.network import FIELDS

    return toy.members(toy_inputs, batch_size=40, fields=FIELDS)


@pytest.fixture(scope="session")
def toy_data(toy_inputs, toy_members):
    """`toy_inputs` with labels as likely as `toy` says at temperature 4: it is overconfident."""
    from lddu.predictor.combination import mean_logits

    prior = scipy.special.logit(TOY_RATE)
    logits = prior + (np.asarray(mean_logits(toy_members.logits), float) - prior) / 4
    labels = np.random.default_rng(0).random(logits.shape) < scipy.special.expit(logits)
    return toy_inputs.replace(labels=labels.astype(np.float32))


@pytest.fixture(scope="session")
def torch_writer():
    """The writer of torch.save files that the tests of `lddu.data.formats` use."""
    path = Path(__file__).parent / "data" / "formats" / "conftest.py"
    spec = importlib.util.spec_from_file_location("torch_writer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def data_folder():
    """The folder with real data, from LDDU_DATA; skips where it is not set."""
    folder = os.environ.get("LDDU_DATA")
    if not folder:
        pytest.skip("LDDU_DATA is not set; it names the folder that holds studyforrest/")
    return Path(folder)
