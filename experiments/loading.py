"""What loading CMU-MOSEI costs: time and memory, from the file to a trained epoch.

    python experiments/generate_mosei.py --train 16326 --valid 1871 --test 4659 --out data/mosei
    python experiments/loading.py --data-dir data/mosei

Memory is what the process holds itself (RssAnon of Linux). Mapped files are not part of it: the
kernel keeps as much of them as there is room for.
"""

import dataclasses
import tempfile
import threading
import time
from pathlib import Path
from typing import Literal

import tyro

import lddu
from lddu import config
from lddu.data import mosei, take
from lddu.runs.tables import align


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      data_dir: As for `mosei.py`.
      setting: "aligned" or "unaligned".
      preset: The model that is trained for one epoch.
      samples: Train on the first so many only; all if not given.
      cache: Where the prepared arrays are written, in a folder that is removed at the end.
    """

    data_dir: Path = Path("data/mosei")
    setting: Literal["aligned", "unaligned"] = "aligned"
    preset: Literal["paper", "default", "small", "tiny"] = "small"
    samples: int | None = None
    cache: Path = Path("runs")


class Memory(threading.Thread):
    """Watches how much memory this process holds itself; `peak` is in GiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self) -> None:
        """Looks ten times a second."""
        while True:
            status = Path("/proc/self/status").read_text()
            held = int(status.split("RssAnon:")[1].split()[0]) / 2**20
            self.peak = max(self.peak, held)
            time.sleep(0.1)


def main(args: Args) -> None:
    """Loads twice, then trains."""
    memory = Memory()
    memory.start()
    rows = [["what", "seconds", "peak GiB so far"]]

    def note(what: str, began: float) -> None:
        rows.append([what, f"{time.perf_counter() - began:.1f}", f"{memory.peak:.2f}"])

    args.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.cache) as cache:
        began = time.perf_counter()
        mosei.load(args.data_dir, setting=args.setting, cache=cache)
        note("first load", began)
        began = time.perf_counter()
        data = mosei.load(args.data_dir, setting=args.setting, cache=cache)
        note("second load", began)
        began = time.perf_counter()
        cfg = config.PRESETS[args.preset](data.shapes(), data.labels)
        cfg = config.replace(cfg, {"train.epochs": 1})
        train = take(data.train.soft_batch(), slice(args.samples))
        lddu.fit(cfg, train, take(data.valid.batch, slice(args.samples)))
        note("one epoch, validation, calibration", began)
    size = sum(file.stat().st_size for file in args.data_dir.iterdir()) / 2**30
    print(f"\n{size:.1f} GiB of files, {args.setting}, preset {args.preset}")
    print(align(rows))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
