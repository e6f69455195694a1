"""Speed and memory: a training step and inference against a PyTorch twin, in one run.

    pip install "lddu[bench]"
    python experiments/benchmark.py

Each contender of a case runs in a process of its own, and they take turns, with a matrix product
in between that tells what the machine can do at that moment. Times are medians over the rounds,
with the smallest and the largest. The floor of a case is its compiled FLOPs at the speed of the
fastest matrix product.
The twin (`twin.py`) has the same arithmetic and starts from the same weights.
"""

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import tyro

FEATURES = {"vision": 35, "audio": 74, "text": 300}
TINY = (
    ("model.encoder.hidden", 16),
    ("model.encoder.feed_forward", 16),
    ("model.encoder.layers", 1),
    ("model.latent", 4),
    ("model.latent_hidden", (8, 8, 8)),
    ("loss.bank_size", 256),
)
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
      keep: Whether freed memory stays with the process (see `main`).
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
    keep: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.contender}"


def cases(gpu: bool) -> list[list[Case]]:
    """The groups of cases that take turns."""
    long = {"steps": (500, 375, 50), "keep": False}
    blocks = (("model.encoder.row_block", 4),)
    stride, wide = (("stride", 5),), (("stride", 10),)
    step, short = Case("step"), Case("step, short", short=True, calls=4)
    padded = (("train.packing", False),)
    infer = Case("inference", what="inference", calls=16)
    replace = dataclasses.replace

    def against(case: Case) -> list[Case]:
        return [case, replace(case, contender="twin")]

    groups = [
        against(step),
        [*against(short), replace(short, name="step, short, padded", changes=padded)],
        against(replace(step, name="step, default malloc", keep=False)),
        against(infer),
        against(replace(infer, name="inference, short", short=True)),
        against(Case("step, batch 512", batch=512)),
        against(Case("step, batch 512, short", batch=512, short=True)),
        against(Case("step of 5 members", what="members", members=5)),
        [
            Case("step, unaligned", changes=blocks, **long),
            Case("step, unaligned, short", changes=blocks, short=True, **long),
            Case("step, unaligned, stride 5", changes=stride, **long),
            Case("step, unaligned", contender="twin", **long),
        ],
    ]
    length = [
        Case(f"step, {steps} steps, stride 10", batch=16, steps=(steps, steps, 60), changes=wide)
        for steps in (250, 500, 1000, 2000)
    ]
    samples = [
        Case(f"inference, {64 * n} samples", what="inference", short=True, calls=n)
        for n in (8, 16, 32, 64)
    ]
    groups += [length, samples]
    if gpu:
        bf16 = (("model.encoder.dtype", "bfloat16"),)
        groups += [
            [Case(f"step, bf16, batch {n}", batch=n, changes=bf16) for n in (64, 512)],
            *(
                against(Case(f"step of {k} members, batch {n}", "members", batch=n, members=k))
                for k in (1, 4, 16)
                for n in (64, 512)
            ),
        ]
    return groups


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
    from lddu.inference import forward, prepare

    config, data = make_config(case), make_data(case, case.batch * case.calls)
    params = lddu.LDDU(config.model).init(jax.random.key(0), jax.tree.map(lambda x: x[:1], data))
    params = jax.tree.map(lambda x: x[None], params["params"])
    half, cut = np.full(len(LABELS), 0.5), np.asarray(0.5)
    normalizer = fit_normalizer(data)
    predictor = lddu.Predictor(config, params, normalizer, half, Identity(), cut, half, ())
    inputs = jax.tree.map(lambda x: x[: case.batch], prepare(data, config.model))
    lowered = forward(config.model).lower(params, normalizer, inputs, {})
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
    nets = [twin.load(official_params(config), config).to(device) for _ in range(case.members)]
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
    net = twin.load(official_params(config), config).to(device).eval()

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


def official_params(config: Any) -> Any:
    """Parameters of `LDDU`, which the twin takes over through `lddu.convert`."""
    import jax

    import lddu
    from lddu.model import example_batch

    return lddu.LDDU(config.model).init(jax.random.key(0), example_batch(config.model))["params"]


# ---- measuring -----------------------------------------------------------------------------------


def worker(pipe: Any, case: Case | None) -> None:
    """Builds a contender, then times it as often as it is told to; `None` is the matrix product."""
    if case is None:
        run, known = matmul(), {}
    else:
        build = {"lddu": (lddu_steps, lddu_inference), "twin": (twin_steps, twin_inference)}
        run, known = build[case.contender][case.what == "inference"](case)
    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory, from here on
    pipe.send(known)
    while pipe.recv():
        began = time.perf_counter()
        run()
        pipe.send(time.perf_counter() - began)
    status = Path("/proc/self/status").read_text()
    pipe.send(int(status.split("VmHWM:")[1].split()[0]) * 1024)


SIDE, TIMES = 2048, 4


def matmul() -> Callable[[], None]:
    """`TIMES` products of square matrices, 2 SIDE^3 FLOPs each."""
    import jax

    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)
    return lambda: jax.block_until_ready([product(a) for _ in range(TIMES)])


KEEP = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.arena_max=1"
PAUSE = 0.5  # seconds until the threads of the process before have stopped waiting for work


def measure(group: list[Case], rounds: int) -> list[dict[str, Any]]:
    """Lets the contenders of a group take turns; one record each."""
    spawn = multiprocessing.get_context("spawn")
    running = []
    for case in [None, *group]:
        mine, its = spawn.Pipe()
        os.environ["GLIBC_TUNABLES"] = KEEP if case is None or case.keep else ""
        process = spawn.Process(target=worker, args=(its, case), daemon=True)
        process.start()
        its.close()
        try:
            running.append((process, mine, mine.recv()))
        except EOFError:
            raise RuntimeError(f"{case} failed; see its message above") from None
    times: list[list[float]] = [[] for _ in running]
    heavy = any(case.batch > 64 or case.members > 1 or max(case.steps) > 60 for case in group)
    for _ in range(min(rounds, 3) if heavy else rounds):
        for (_, pipe, _), mine in zip(running, times, strict=True):
            time.sleep(PAUSE)
            pipe.send(True)
            mine.append(pipe.recv())
    records = []
    for case, (process, pipe, known), seconds in zip([None, *group], running, times, strict=True):
        pipe.send(False)
        peak = pipe.recv()
        process.join()
        if case is None:
            rate = TIMES * 2 * SIDE**3 / min(seconds)
            continue
        per_call = [s / case.calls for s in seconds]
        record = {"case": case.name, "contender": case.contender, "batch": case.batch, **known}
        record["calls"] = case.calls
        record |= {"median": median(per_call), "min": min(per_call), "max": max(per_call)}
        records.append(record | {"peak": peak, "matmul": rate})
    return records


HEADER = ("case", "contender", "ms", "min-max", "x floor", "share", "x twin", "GiB", "compile s")


def rows_of(records: list[dict[str, Any]]) -> list[list[str]]:
    """The lines of the table for one group."""
    twins = [r["median"] for r in records if r["contender"] == "twin"]
    lines = []
    for r in records:
        floor = r["flops"] / r["matmul"] if "flops" in r else None
        lines.append(
            [
                r["case"],
                r["contender"],
                f"{1e3 * r['median']:.0f}",
                f"{1e3 * r['min']:.0f}-{1e3 * r['max']:.0f}",
                f"{r['median'] / floor:.2f}" if floor else "",
                f"{floor / r['median']:.0%}" if floor else "",
                f"{twins[0] / r['median']:.2f}" if twins and r["contender"] == "lddu" else "",
                f"{r['peak'] / 2**30:.1f}",
                f"{r['compile']:.0f}" if "compile" in r else "",
            ]
        )
    return lines


def draw(records: list[dict[str, Any]], folder: Path) -> None:
    """Seconds against samples and against steps, on logarithmic axes, beside a line of slope 1."""
    from lddu.plots import style

    figure = style.new_figure(8.0, 3.4)
    for axis, ending, title in zip(
        figure.subplots(1, 2),
        ("samples", "steps, stride 10"),
        ("Inference", "A training step of 16 sequences"),
        strict=True,
    ):
        found = [r for r in records if r["case"].endswith(ending)]
        x = np.array([int(r["case"].split()[1]) for r in found])
        y, low, high = np.array(
            [[r[k] * r["calls"] for k in ("median", "min", "max")] for r in found]
        ).T
        axis.plot(x, y[0] * x / x[0], "--", color=style.MUTED, label="proportional to the first")
        axis.errorbar(
            x, y, [y - low, high - y], marker="o", color=style.PALETTE[0], label="measured"
        )
        axis.set(xscale="log", yscale="log", xlabel=ending, ylabel="seconds", title=title)
        axis.set_xticks(x, [str(n) for n in x])
        axis.minorticks_off()
        style.tidy(axis)
        style.legend(axis)
    figure.savefig(folder / "linearity.png", dpi=150)


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      rounds: Timings of each contender; at most three where they take long.
      only: Run the groups whose first case has this in its name.
      tiny: A tiny model, to try the script out.
      gpu: Add bfloat16 and 1 to 16 ensemble members; on a GPU. Shares are of its float32 product.
      out: Folder for `results.json` and `linearity.png`.
    """

    rounds: int = 7
    only: str = ""
    tiny: bool = False
    gpu: bool = False
    out: Path = Path("runs/benchmark")


def main(args: Args) -> None:
    """Runs all groups and prints the table.

    On CPU a compiled program takes its memory anew for every call, and the kernel maps it page by
    page, a quarter of a million of them. With glibc's `KEEP` as GLIBC_TUNABLES in the environment
    freed memory stays with the process, which takes more of it. All contenders get that, except
    where the case says otherwise.
    """
    from lddu import results

    args.out.mkdir(parents=True, exist_ok=True)
    table, everything = [list(HEADER)], []
    for group in cases(args.gpu):
        if args.only not in group[0].name:
            continue
        if args.tiny:
            group = [dataclasses.replace(c, changes=(*c.changes, *TINY)) for c in group]
        records = measure(group, args.rounds)
        everything += records
        table += rows_of(records)
        print(results.align([list(HEADER), *rows_of(records)]), flush=True)
        (args.out / "results.json").write_text(json.dumps(everything, indent=1))
    if not args.only:
        draw(everything, args.out)
    rate = max(r["matmul"] for r in everything)
    print(f"\nMatrix product {rate / 1e9:.0f} GFLOP/s.\n{results.align(table)}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
