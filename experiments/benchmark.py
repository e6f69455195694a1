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
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tyro
from contenders import Case, lddu_inference, lddu_steps, twin_inference, twin_steps

from lddu import memory, results

TINY = (
    ("model.encoder.hidden", 16),
    ("model.encoder.feed_forward", 16),
    ("model.encoder.layers", 1),
    ("model.latent", 4),
    ("model.latent_hidden", (8, 8, 8)),
    ("loss.bank_size", 256),
)


def cases(gpu: bool) -> list[list[Case]]:
    """The groups of cases that take turns."""
    long = {"steps": (500, 375, 50)}
    blocks = (("model.encoder.row_block", 4),)
    stride, wide = (("stride", 5),), (("stride", 10),)
    step, short = Case("step"), Case("step, short", short=True, calls=4)
    padded = (("train.packing", False),)
    infer = Case("inference", what="inference", calls=16)
    replace = dataclasses.replace

    def against(case: Case) -> list[Case]:
        return [case, replace(case, contender="twin")]

    groups = [
        [
            *against(step),
            replace(step, name="step, memory returned", keep=False),
            Case("step, memory kept", contender="twin", keep=True),
        ],
        [*against(short), replace(short, name="step, short, padded", changes=padded)],
        against(infer),
        against(replace(infer, name="inference, batch 32", batch=32, calls=32)),
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


# ---- measuring -----------------------------------------------------------------------------------


def worker(pipe: Any, case: Case | None) -> None:
    """Builds a contender, then times it as often as it is told to; `None` is the matrix product."""
    if case is None:
        run, known = matmul(), {}
    else:
        if case.keep:
            memory.keep()
        build = {"lddu": (lddu_steps, lddu_inference), "twin": (twin_steps, twin_inference)}
        run, known = build[case.contender][case.what == "inference"](case)
    run()
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


PAUSE = 0.5  # seconds until the threads of the process before have stopped waiting for work


def measure(group: list[Case], rounds: int) -> list[dict[str, Any]]:
    """Lets the contenders of a group take turns; one record each."""
    spawn = multiprocessing.get_context("spawn")
    running = []
    for case in [None, *group]:
        mine, its = spawn.Pipe()
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
    twin = min((r["median"] for r in records if r["contender"] == "twin"), default=None)
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
                f"{twin / r['median']:.2f}" if twin and r["contender"] == "lddu" else "",
                f"{r['peak'] / 2**30:.1f}",
                f"{r['compile']:.0f}" if "compile" in r else "",
            ]
        )
    return lines


def draw(records: list[dict[str, Any]], folder: Path) -> None:
    """Seconds against samples and against steps, on logarithmic axes, beside a line of slope 1."""
    from matplotlib import ticker  # not in the workers

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
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
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
      tiny: A tiny model and batches of 8, to try the script out.
      gpu: Add bfloat16 and 1 to 16 ensemble members; on a GPU. Shares are of its float32 product.
      out: Folder for `results.json` and `linearity.png`.
    """

    rounds: int = 7
    only: str = ""
    tiny: bool = False
    gpu: bool = False
    out: Path = Path("runs/benchmark")


def main(args: Args) -> None:
    """Runs all groups and prints the table."""
    args.out.mkdir(parents=True, exist_ok=True)
    table, everything = [list(HEADER)], []
    for group in cases(args.gpu):
        if args.only not in group[0].name:
            continue
        if args.tiny:
            group = [dataclasses.replace(c, batch=8, changes=(*c.changes, *TINY)) for c in group]
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
