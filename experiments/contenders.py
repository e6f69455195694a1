"""What `benchmark.py` measures: training steps and inference, of lddu and of its PyTorch twin."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cases import FEATURES, LABELS, Case

# ---- the data and the configuration --------------------------------------------------------------


def make_data(case: Case, rows: int):
    """Draws random features with true lengths; MOSEI-like lengths are skewed."""
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
    """Returns preset `paper` with anchors from the batch only and padding masked."""
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


# ---- the contenders: what to time, and what is known about it ------------------------------------

Contender = tuple[Callable[[], None], dict[str, float]]


def build(case: Case) -> Contender:
    """Builds the contender of a case: what to time, and what is known about it."""
    functions = {"lddu": (lddu_steps, lddu_inference), "twin": (twin_steps, twin_inference)}
    return functions[case.contender][case.what == "inference"](case)


def lddu_steps(case: Case) -> Contender:
    """Training steps on rows of a data set that is on the device."""
    import jax

    from lddu.data.batching import order
    from lddu.data.labels import base_rate
    from lddu.data.normalize import fit_normalizer
    from lddu.packing.plan import Packer
    from lddu.training.optimizer import build_optimizer
    from lddu.training.programs import training_programs
    from lddu.training.state import create_state
    from lddu.training.step import Resident, build_step

    config = make_config(case)
    data = make_data(case, case.batch * max(case.calls, 16 if case.short else 1))
    resident = Resident(data, fit_normalizer(data))
    optimizer = build_optimizer(config.train, 1000)
    keys = jax.random.split(jax.random.key(0, impl="rbg"), case.members)
    example, rates = jax.tree.map(lambda x: x[:1], data), base_rate(data.labels)
    states = [create_state(key, config, optimizer, example, rates) for key in keys]
    state = jax.tree.map(lambda *x: jax.numpy.stack(x), *states)

    index, weight = order(jax.random.key(0), data.size, case.batch)
    trials = 256 if config.execution.packing else 0
    trial = np.random.default_rng(0).integers(data.size, size=(trials, case.batch))
    packer = Packer(data, config.model, trial, (0.75, 1.0))
    planned = [(rows, weight[at]) for rows, at in packer.calls(index, case.together)]
    calls = [(jax.tree.map(lambda x: np.stack([x] * case.members), r), w) for r, w in planned]

    known = {}
    if jax.default_backend() != "cpu":
        step = build_step(config, optimizer)
        rows, at = next(packer.calls(index))
        flops = flops_on_cpu(step, states[0], resident, rows, weight[at], keys[0])
        known["flops"] = case.members * flops
    resident = jax.device_put(resident)
    programs = training_programs(config, 1000, case.members, None)
    step = programs.steps if case.together > 1 else programs.step
    began = time.perf_counter()
    compiled = step.jitted.lower(state, resident, *calls[0], keys).compile()
    known["compile"] = time.perf_counter() - began
    if not config.execution.row_block:  # of a loop the compiler counts one round
        known.setdefault("flops", compiled.cost_analysis()["flops"])
    known["temporary"] = compiled.memory_analysis().temp_size_in_bytes
    shapes = {str(jax.tree.map(np.shape, call)): call for call in calls}
    for call in shapes.values():  # every size once, so that nothing compiles later
        state, _ = step(state, resident, *call, keys)
    at = 0

    def run() -> None:
        nonlocal state, at
        for _ in range(case.calls // case.together):
            state, measured = step(state, resident, *calls[at % len(calls)], keys)
            at += 1
        jax.block_until_ready((state, measured))

    return run, known


def lddu_inference(case: Case) -> Contender:
    """`Predictor.predict` of many rows."""
    import jax

    import lddu
    from lddu.calibration import Identity
    from lddu.data.normalize import fit_normalizer
    from lddu.packing.stream import StreamPacker
    from lddu.predictor.network import compiled_forward, prepare

    config, data = make_config(case), make_data(case, case.batch * case.calls)
    params = jax.tree.map(lambda x: x[None], initial_params(config))
    half, cut = np.full(len(LABELS), 0.5), np.asarray(0.5)
    normalizer = fit_normalizer(data)
    predictor = lddu.Predictor(config, params, normalizer, half, Identity(), cut, half)
    inputs = prepare(data, config.model)
    pack = StreamPacker(config.model, case.batch, config.execution.packing)  # as the predictor does
    pack.look(inputs)
    inputs = jax.tree.map(lambda x: x[: case.batch], inputs)
    args = (params, normalizer, inputs, pack(inputs))
    forward, known = compiled_forward(config.model, config.execution), {}
    if jax.default_backend() != "cpu":
        known["flops"] = flops_on_cpu(forward, *args)
    began = time.perf_counter()
    compiled = forward.lower(*args).compile()
    known["compile"] = time.perf_counter() - began
    known.setdefault("flops", compiled.cost_analysis()["flops"])

    def run() -> None:
        predictor.predict(data, batch_size=case.batch, fields=("probs",))

    return run, known


def twin_steps(case: Case) -> Contender:
    """Training steps of PyTorch, members one after the other."""
    import torch
    import twin

    config, gpu = make_config(case), torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    data = [batch.to(device) for batch in twin_batches(case)]
    parts = []
    for _ in range(case.members):
        net = twin.load(initial_params(config), config).to(device).train()
        loss = net.loss
        if gpu and not case.eager:
            loss = torch.compile(loss, fullgraph=True, mode="reduce-overhead")
        parts.append((net, twin.adamw(net), twin.Bank(config, device), loss))
    at = 0

    def run() -> None:
        nonlocal at
        for _ in range(case.calls):
            for net, optimizer, bank, loss in parts:
                net.train_step(optimizer, data[at % len(data)], bank, loss)
            at += 1
        if gpu:
            torch.cuda.synchronize()

    return run, {}


def twin_inference(case: Case) -> Contender:
    """Forward passes of PyTorch from host memory, with its fused layers and nested tensors."""
    import torch
    import twin

    config, device = make_config(case), "cuda" if torch.cuda.is_available() else "cpu"
    data = twin_batches(case)
    net = twin.load(initial_params(config), config).to(device).eval()

    def run() -> None:
        with torch.inference_mode():
            [net(batch.to(device)).logits.cpu() for batch in data]

    return run, {}


def twin_batches(case: Case) -> list[Any]:
    """Returns the same rows as tensors, from which a GPU can read at full speed."""
    import torch
    import twin

    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as JAX uses by default
    data = make_data(case, case.batch * max(case.calls, 4 if case.short else 1))

    def tensor(x: np.ndarray) -> torch.Tensor:
        made = torch.tensor(x)
        return made.pin_memory() if torch.cuda.is_available() else made

    batches = []
    for first in range(0, data.size, case.batch):
        rows = slice(first, first + case.batch)
        values = {name: tensor(m.values[rows]) for name, m in data.modalities.items()}
        masks = {name: tensor(m.mask[rows]) for name, m in data.modalities.items()}
        batches.append(twin.Batch(values, masks, tensor(data.labels[rows])))
    return batches


def initial_params(config: Any) -> Any:
    """Initialises `LDDU`; the twin takes the parameters through `lddu.official.weights`."""
    import jax

    import lddu
    from lddu.model import example_batch

    init = jax.jit(lddu.LDDU(config.model).init)  # op by op it takes longer
    return init(jax.random.key(0), example_batch(config.model))["params"]


def flops_on_cpu(function: Callable[..., Any], *args: Any) -> float:
    """Counts FLOPs as compiled for a CPU; on a GPU the compiler does not see into all kernels."""
    import jax

    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        lowered = jax.jit(function).lower(*jax.device_put(args, cpu))
    return lowered.cost_analysis()["flops"]


def peak_memory(case: Case) -> int:
    """Returns the peak memory in bytes: of the device if it has its own, else of the process."""
    if case.contender == "lddu":
        import jax

        if stats := jax.local_devices()[0].memory_stats():
            return stats["peak_bytes_in_use"]
    else:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
