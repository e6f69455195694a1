"""What `benchmark.py` measures: training steps and inference, of lddu and of its PyTorch twin."""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

FEATURES = {"vision": 35, "audio": 74, "text": 300}
LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
      name: As in the table.
      what: A training "step", "inference", or steps of all "members" at once.
      contender: "lddu" or "twin".
      batch: Rows of a batch.
      steps: Padded lengths of vision, audio and text.
      short: Whether sequences have MOSEI-like lengths, a third of the padding in the mean.
      calls: Batches per timing.
      members: Ensemble members.
      changes: To the configuration, and the "stride" of sequences longer than 60 steps.
      keep: Whether freed memory stays with the process (`lddu.memory.keep`), as in our experiments.
        The twin is faster without.
    """

    name: str
    what: Literal["step", "inference", "members"] = "step"
    contender: Literal["lddu", "twin"] = "lddu"
    batch: int = 64
    steps: tuple[int, int, int] = (60, 60, 60)
    short: bool = False
    calls: int = 1
    members: int = 1
    changes: tuple[tuple[str, Any], ...] = ()
    keep: bool | None = None

    def __post_init__(self) -> None:
        """By default each contender has what makes it fast."""
        if self.keep is None:
            object.__setattr__(self, "keep", self.contender == "lddu")

    def __str__(self) -> str:
        return f"{self.name}: {self.contender}"


# ---- the data and the configuration --------------------------------------------------------------


def make_data(case: Case, rows: int):
    """Random features of true lengths; MOSEI-like ones are skewed, a third of the padding."""
    from lddu.structs import Batch, Modality

    rng = np.random.default_rng(0)
    share = np.clip(rng.gamma(2.6, 1 / 2.6, rows) / 3, 0.02, 5 / 6) if case.short else np.ones(rows)
    modalities = {}
    for (name, features), steps in zip(FEATURES.items(), case.steps, strict=True):
        mask = np.arange(steps) < np.ceil(share * steps)[:, None]
        values = rng.standard_normal((rows, steps, features), np.float32) * mask[..., None]
        modalities[name] = Modality(values, mask)
    labels = (rng.random((rows, len(LABELS))) < 0.25).astype(np.float32)
    return Batch(modalities, {name: np.ones(rows, bool) for name in modalities}, labels)


def make_config(case: Case):
    """Preset `paper` with anchors from the batch only and padding masked."""
    from lddu import config
    from lddu.config import ModalityConfig

    changes = dict(case.changes)
    stride = changes.pop("stride", 1)
    modalities = [
        ModalityConfig(name, features, steps, stride if steps > 60 else 1)
        for (name, features), steps in zip(FEATURES.items(), case.steps, strict=True)
    ]
    cfg = config.paper(modalities, LABELS)
    changes |= {"loss.anchors": "batch", "loss.bank_start": "empty", "model.mask_padding": True}
    return config.replace(cfg, {**changes, "train.batch_size": case.batch})


# ---- the contenders: what to time, and what is known of it ---------------------------------------

Contender = tuple[Callable[[], None], dict[str, float]]


def lddu_steps(case: Case) -> Contender:
    """Training steps on rows of a resident set."""
    import jax

    from lddu.data.batching import order
    from lddu.data.normalize import fit_normalizer
    from lddu.data.packing import Packer
    from lddu.memory import Trimmed
    from lddu.training.ensemble import over_members
    from lddu.training.optimizer import build_optimizer
    from lddu.training.sharding import member_mesh
    from lddu.training.state import base_rate, create_state
    from lddu.training.step import build_step, make_step

    config = make_config(case)
    data = make_data(case, case.batch * max(case.calls, 16 if case.short else 1))
    optimizer, normalizer = build_optimizer(config.train, 1000), fit_normalizer(data)
    index, weight = order(jax.random.key(0), data.size, case.batch)
    trial = np.random.default_rng(0).integers(data.size, size=(256, case.batch))
    packer = Packer(data, config.model, trial[: 256 * config.train.packing], (0.75, 1.0))
    calls = [rows for rows, _ in packer.calls(index)]
    example = jax.tree.map(lambda x: x[:1], data)
    start = (config, optimizer, example, base_rate(data.labels))
    key = jax.random.key(0, impl="rbg")
    if case.what == "members":
        keys = jax.random.split(key, case.members)
        states = [create_state(k, *start) for k in keys]
        state = jax.tree.map(lambda *x: jax.numpy.stack(x), *states)
        calls = [jax.tree.map(lambda x: np.stack([x] * case.members), rows) for rows in calls]
        mesh = member_mesh(case.members, case.batch, jax.devices()[:1])
        one = build_step(config, optimizer, normalizer)
        step = over_members(one, mesh, (0, None, 0, None, 0), donate=True)
        key = keys
    else:
        state = create_state(key, *start)
        step = make_step(config, optimizer, normalizer)
    data = jax.device_put(data)
    began = time.perf_counter()
    compiled = step.lower(state, data, calls[0], weight[0], key).compile()
    known = {"compile": time.perf_counter() - began}
    known["flops"] = compiled.cost_analysis()["flops"]
    known["temporary"] = compiled.memory_analysis().temp_size_in_bytes
    shapes = {str(jax.tree.map(np.shape, rows)): rows for rows in calls}
    step = Trimmed(step)  # as the trainers call it
    for rows in shapes.values():  # every size once, so that nothing compiles later
        state, _ = step(state, data, rows, weight[0], key)
    at = 0

    def run() -> None:
        nonlocal state, at
        for _ in range(case.calls):
            state, measured = step(state, data, calls[at % len(calls)], weight[0], key)
            at += 1
        jax.block_until_ready((state, measured))

    return run, known


def lddu_inference(case: Case) -> Contender:
    """`Predictor.predict` of many rows."""
    import jax

    import lddu
    from lddu.calibration import Identity
    from lddu.data.normalize import fit_normalizer
    from lddu.data.packing import StreamPacker
    from lddu.inference import forward, prepare

    config, data = make_config(case), make_data(case, case.batch * case.calls)
    params = jax.tree.map(lambda x: x[None], initial_params(config))
    half, cut = np.full(len(LABELS), 0.5), np.asarray(0.5)
    normalizer = fit_normalizer(data)
    predictor = lddu.Predictor(config, params, normalizer, half, Identity(), cut, half, ())
    inputs = prepare(data, config.model)
    pack = StreamPacker(config.model, case.batch)  # as the predictor does
    pack.look(inputs)
    inputs = jax.tree.map(lambda x: x[: case.batch], inputs)
    lowered = forward(config.model).lower(params, normalizer, inputs, pack(inputs))
    began = time.perf_counter()
    flops = lowered.compile().cost_analysis()["flops"]
    known = {"compile": time.perf_counter() - began, "flops": flops}

    def run() -> None:
        predictor.predict(data, batch_size=case.batch, fields=("probs",))

    return run, known


def twin_steps(case: Case) -> Contender:
    """Training steps of PyTorch; members one after the other."""
    import torch
    import twin

    config, device = make_config(case), "cuda" if torch.cuda.is_available() else "cpu"
    data = twin_batches(case, device)
    nets = [twin.load(initial_params(config), config).to(device) for _ in range(case.members)]
    parts = [(net.train(), twin.adamw(net), twin.Bank(config, device)) for net in nets]
    at = 0

    def run() -> None:
        nonlocal at
        for _ in range(case.calls):
            for net, optimizer, bank in parts:
                net.train_step(optimizer, data[at % len(data)], bank)
            at += 1
        if device == "cuda":
            torch.cuda.synchronize()

    return run, {}


def twin_inference(case: Case) -> Contender:
    """Forward passes of PyTorch, with its fused layers and nested tensors."""
    import torch
    import twin

    config, device = make_config(case), "cuda" if torch.cuda.is_available() else "cpu"
    data = twin_batches(case, device)
    net = twin.load(initial_params(config), config).to(device).eval()

    def run() -> None:
        with torch.inference_mode():
            [net(batch).logits.cpu() for batch in data]

    return run, {}


def twin_batches(case: Case, device: str) -> list[Any]:
    """The same rows as tensors."""
    import torch
    import twin

    torch.set_num_threads(os.cpu_count() or 1)
    data = make_data(case, case.batch * max(case.calls, 4 if case.short else 1))
    batches = []
    for first in range(0, data.size, case.batch):
        rows = slice(first, first + case.batch)
        values = {
            k: torch.tensor(m.values[rows], device=device) for k, m in data.modalities.items()
        }
        masks = {k: torch.tensor(m.mask[rows], device=device) for k, m in data.modalities.items()}
        batches.append(twin.Batch(values, masks, torch.tensor(data.labels[rows], device=device)))
    return batches


def initial_params(config: Any) -> Any:
    """Parameters of `LDDU`, which the twin takes over through `lddu.convert`."""
    import jax

    import lddu
    from lddu.model import example_batch

    init = jax.jit(lddu.LDDU(config.model).init)  # op by op it takes four times as long
    return init(jax.random.key(0), example_batch(config.model))["params"]
