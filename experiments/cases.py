"""The measurements of `benchmark.py`: groups of cases whose contenders take turns."""

import dataclasses
from typing import Any, Literal

FEATURES = {"vision": 35, "audio": 74, "text": 300}
LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
      name: Name of the case in the table.
      what: What is timed: a training "step", "inference", or steps of all "members" at once.
      contender: "lddu" or "twin".
      batch: Number of rows of a batch.
      steps: Padded lengths of vision, audio and text.
      short: Whether sequences have MOSEI-like lengths, on average a third of the padding.
      calls: Number of batches per timing.
      members: Number of ensemble members; the twin trains them one after the other.
      together: Training steps per call of the compiled program (`execution.steps_per_dispatch`).
      changes: Changes to the configuration, and the "stride" of sequences longer than 60 steps.
      keep: Whether freed memory stays in the process (`lddu.training.memory.keep`), as in the
        experiments; by default for "lddu" only, because the twin is faster without.
      eager: Whether the twin runs without `torch.compile` on a GPU; on a CPU it always does.
    """

    name: str
    what: Literal["step", "inference", "members"] = "step"
    contender: Literal["lddu", "twin"] = "lddu"
    batch: int = 64
    steps: tuple[int, int, int] = (60, 60, 60)
    short: bool = False
    calls: int = 1
    members: int = 1
    together: int = 1
    changes: tuple[tuple[str, Any], ...] = ()
    keep: bool | None = None
    eager: bool = False

    def __post_init__(self) -> None:
        """Gives each contender the setting of `keep` that makes it faster, unless it is given."""
        if self.keep is None:
            object.__setattr__(self, "keep", self.contender == "lddu")

    def __str__(self) -> str:
        return f"{self.name}: {self.contender}"

    @property
    def dtype(self) -> str:
        """The number type of the encoders."""
        return dict(self.changes).get("execution.dtype", "float32")

    @property
    def samples(self) -> int:
        """Samples of a batch, counted once per member."""
        return self.batch * self.members

    @property
    def heavy(self) -> bool:
        """Whether a timing on a CPU takes long."""
        return self.samples > 64 or max(self.steps) > 60

    def rivals(self, other: "Case") -> bool:
        """Returns whether two contenders do the same work, however they do it."""
        stride = [dict(case.changes).get("stride") for case in (self, other)]
        same = self.short == other.short and self.dtype == other.dtype and stride[0] == stride[1]
        return same and self.contender != other.contender


replace = dataclasses.replace


def against(case: Case) -> list[Case]:
    """Returns the case for both contenders."""
    return [case, replace(case, contender="twin", keep=None)]


def cpu_cases() -> list[list[Case]]:
    """Returns the groups for a CPU: official settings, MOSEI-like lengths, large and long data."""
    long = {"steps": (500, 375, 50)}
    blocks = (("execution.row_block", 4),)
    stride, wide = (("stride", 5),), (("stride", 10),)
    step, short = Case("step"), Case("step, short", short=True, calls=4)
    padded = (("execution.packing", False),)
    infer = Case("inference", what="inference", calls=16)
    length = [
        Case(f"step, {steps} steps, stride 10", batch=16, steps=(steps, steps, 60), changes=wide)
        for steps in (250, 500, 1000, 2000)
    ]
    samples = [
        Case(f"inference, {64 * n} samples", what="inference", short=True, calls=n)
        for n in (8, 16, 32, 64)
    ]
    return [
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
        length,
        samples,
    ]


def gpu_cases() -> list[list[Case]]:
    """Returns the groups for a GPU: float32 (products in TF32) and bfloat16, 1 to 16 members."""
    bf16 = (("execution.dtype", "bfloat16"),)
    groups = []
    for batch, calls in ((64, 32), (512, 8)):
        single = Case(f"step, batch {batch}", batch=batch, calls=calls)
        half = replace(single, name=f"step, bf16, batch {batch}", changes=bf16)
        together = replace(half, name=f"{half.name}, {calls} steps per call", together=calls)
        several = [
            replace(
                half,
                name=f"step of {k} members, bf16, batch {batch}",
                what="members",
                members=k,
                calls=max(2, calls // k),
            )
            for k in (4, 16)
        ]
        eager = replace(half, name=f"{half.name}, eager", contender="twin", eager=True, keep=False)
        groups.append([*against(single), *against(half), eager, together, *several])
    # In float32, because the twin's fused layers do not take autocast.
    infer = Case("inference, batch 512", "inference", batch=512, calls=16)
    return [
        *groups,
        against(infer),
        against(replace(infer, name=f"{infer.name}, short", short=True)),
    ]
