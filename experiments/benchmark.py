"""Speed and memory: a training step and inference against a PyTorch twin, in one run.

    pip install "lddu[bench]"
    python experiments/benchmark.py

Each contender of a case runs in a process of its own. They take turns with each other and with a
matrix product, which shows what the machine can do at that moment. Times are medians over the
rounds, with the smallest and the largest. The floor of a case is the time of its FLOPs at the speed
of the fastest matrix product of the same type; the share is floor over median, on a GPU also called
model FLOP utilisation. Members and twin are compared by samples per second, counted once per
member. The twin (`twin.py`) has the same arithmetic and starts from the same weights.
"""

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tyro
from cases import Case, cpu_cases, gpu_cases

from lddu import files
from lddu.runs.tables import align
from lddu.training import memory

TINY = (
    ("model.encoder.hidden", 16),
    ("model.encoder.feed_forward", 16),
    ("model.encoder.layers", 1),
    ("model.latent", 4),
    ("model.latent_hidden", (8, 8, 8)),
    ("loss.bank_size", 256),
)


# ---- measuring -----------------------------------------------------------------------------------


def worker(pipe: Any, case: Case | str) -> None:
    """Builds a contender (a type means a matrix product), and times it as often as it is told."""
    import contenders  # not in the parent, which only waits
    import jax

    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # contenders share the memory of a GPU
    if isinstance(case, str):
        run, known = matmul(case)
    else:
        if case.keep:
            memory.keep()
        if case.contender == "twin":
            jax.config.update("jax_platforms", "cpu")
        run, known = contenders.build(case)
    run()
    pipe.send(known)
    while pipe.recv():
        began = time.perf_counter()
        run()
        pipe.send(time.perf_counter() - began)
    pipe.send(None if isinstance(case, str) else contenders.peak_memory(case))


TIMES = 4


def matmul(dtype: str) -> tuple[Callable[[], None], dict[str, float]]:
    """Builds `TIMES` products of square matrices."""
    import jax

    side = 2048 if jax.default_backend() == "cpu" else 8192
    a = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(lambda a: a @ a)
    flops = TIMES * 2.0 * side**3
    return lambda: jax.block_until_ready([product(a) for _ in range(TIMES)]), {"flops": flops}


PAUSE = 0.5  # seconds until the threads of the process before have stopped waiting for work


def start(runners: list[Case | str], at_once: bool) -> list[tuple[Any, ...]]:
    """Starts a process for each contender, and leaves out those that fail.

    Returns:
      (case, process, pipe, what is known about it) of each.
    """
    spawn = multiprocessing.get_context("spawn")

    def begin(runner: Case | str) -> tuple[Any, ...]:
        mine, its = spawn.Pipe()
        process = spawn.Process(target=worker, args=(its, runner), daemon=True)
        process.start()
        its.close()
        return runner, process, mine

    begun, ready = map(begin, runners), []
    for runner, process, pipe in list(begun) if at_once else begun:
        try:
            ready.append((runner, process, pipe, pipe.recv()))
        except EOFError:
            print(f"FAILED, see its message above: {runner}", flush=True)
    return ready


@dataclasses.dataclass(frozen=True)
class Record:
    """The measurements of one case.

    Attributes:
      case: The case.
      seconds: Seconds per batch, for each round.
      peak: Peak memory in bytes.
      matmul: FLOPs per second of a matrix product of the case's type, in the same rounds.
      flops: FLOPs of the program per batch.
      compile: Seconds of compiling.
      temporary: Bytes of the program's intermediate results.
    """

    case: Case
    seconds: list[float]
    peak: int
    matmul: float
    flops: float | None = None
    compile: float | None = None
    temporary: int | None = None

    @property
    def median(self) -> float:
        """Median seconds per batch."""
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Samples per second, counted once per member."""
        return self.case.samples / self.median


def measure(group: list[Case], rounds: int, gpu: bool) -> list[Record]:
    """Lets the contenders of a group take turns, and returns one record for each."""
    dtypes = sorted({case.dtype for case in group})
    if not gpu and any(case.heavy for case in group):
        rounds = min(rounds, 3)
    running = start([*dtypes, *group], at_once=gpu)
    times: list[list[float]] = [[] for _ in running]
    for _ in range(rounds):
        for (_, _, pipe, _), mine in zip(running, times, strict=True):
            time.sleep(PAUSE)
            pipe.send(True)
            mine.append(pipe.recv())
    records, rates = [], {}
    for (case, process, pipe, known), seconds in zip(running, times, strict=True):
        pipe.send(False)
        peak = pipe.recv()
        process.join()
        if isinstance(case, str):
            rates[case] = known["flops"] / min(seconds)
            continue
        per_batch = [s / case.calls for s in seconds]
        records.append(Record(case, per_batch, peak, rates[case.dtype], **known))
    return records


HEADER = (
    *("case", "contender", "ms", "min-max", "samples/s"),
    *("x floor", "share", "x twin", "GiB", "compile s"),
)


def rows_of(records: list[Record]) -> list[list[str]]:
    """Returns the rows of the table for one group."""
    lines = []
    for r in records:
        floor = r.flops / r.matmul if r.flops else None
        twin = max((t.rate for t in records if t.case.rivals(r.case)), default=None)
        ms = [1e3 * s for s in (r.median, min(r.seconds), max(r.seconds))]
        form = ".2f" if ms[0] < 100 else ".0f"
        lines.append(
            [
                r.case.name,
                r.case.contender,
                f"{ms[0]:{form}}",
                f"{ms[1]:{form}}-{ms[2]:{form}}",
                f"{r.rate:.0f}",
                f"{r.median / floor:.2f}" if floor else "",
                f"{floor / r.median:.0%}" if floor else "",
                f"{r.rate / twin:.2f}" if twin and r.case.contender == "lddu" else "",
                f"{r.peak / 2**30:.1f}",
                f"{r.compile:.0f}" if r.compile else "",
            ]
        )
    return lines


def draw(records: list[Record], folder: Path) -> None:
    """Draws seconds against samples and against steps, beside a line of slope 1."""
    from matplotlib import ticker  # not in the workers

    from lddu.plots import style

    figure = style.new_figure(8.0, 3.4)
    for axis, ending, title in zip(
        figure.subplots(1, 2),
        ("samples", "steps, stride 10"),
        ("Inference", "A training step of 16 sequences"),
        strict=True,
    ):
        chosen = [r for r in records if r.case.name.endswith(ending)]
        x = np.array([int(r.case.name.split()[1]) for r in chosen])
        y, low, high = np.array(
            [[r.case.calls * f(r.seconds) for f in (median, min, max)] for r in chosen]
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
      rounds: Number of timings of each contender; at most three where they take long.
      only: Runs only the groups whose first case has this in its name.
      tiny: Whether to use a tiny model and batches of 8, to try the script out.
      gpu: Whether to measure the cases for a GPU: bfloat16, and 1 to 16 ensemble members.
      out: Folder for `results.json` and `linearity.png`.
    """

    rounds: int = 7
    only: str = ""
    tiny: bool = False
    gpu: bool = False
    out: Path = Path("runs/benchmark")


def main(args: Args) -> None:
    """Runs the groups and prints the table."""
    args.out.mkdir(parents=True, exist_ok=True)
    table, everything, failed = [list(HEADER)], [], 0
    for group in gpu_cases() if args.gpu else cpu_cases():
        if args.only not in group[0].name:
            continue
        if args.tiny:
            group = [dataclasses.replace(c, batch=8, changes=(*c.changes, *TINY)) for c in group]
        records = measure(group, args.rounds, args.gpu)
        everything += records
        failed += len(group) - len(records)
        table += rows_of(records)
        print(align([list(HEADER), *rows_of(records)]), flush=True)
        stored = json.dumps([dataclasses.asdict(r) for r in everything], indent=1)
        files.write_text(args.out / "results.json", stored)
    if not everything:
        raise SystemExit(f"nothing was measured: no first case of a group has {args.only!r} in it")
    if not (args.only or args.gpu):
        draw(everything, args.out)
    rates = {r.case.dtype: r.matmul for r in everything}  # of the last group
    products = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {dtype}" for dtype, rate in rates.items())
    print(f"\nMatrix product: {products}.\n{align(table)}")
    if failed:
        raise SystemExit(f"{failed} cases failed; see their messages above")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
