"""Options of an experiment, as Python and the command line take them.

They import nothing heavy, so that a command can show them at once.
"""

import dataclasses
from pathlib import Path
from typing import Literal

Preset = Literal["paper", "default", "small", "tiny"]
Protocol = Literal["validation", "official"]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an experiment.

    Attributes:
      preset: The configuration of `lddu.config` to start from.
      seeds: Number of models trained from different seeds; scored one by one and as an ensemble.
      protocol: "validation", or "official" to choose on the TEST split as the official code does.
      soft: Whether to train on soft labels where the data have them; hard labels are scored.
      baselines: Whether to fit logistic regression and a random forest too; the prior is always
        there.
      set: Changes to the configuration, as in `--set train.epochs=5 loss.contrastive=0`.
      out: Run folder; a run killed there continues.
    """

    preset: Preset = "default"
    seeds: int = 5
    protocol: Protocol = "validation"
    soft: bool = True
    baselines: bool = True
    set: tuple[str, ...] = ()
    out: Path = Path("runs/experiment")
