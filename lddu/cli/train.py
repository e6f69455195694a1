"""`lddu train`: from files to a run folder with a calibrated model and a report."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from lddu.cli import Stopped
from lddu.cli.arguments import MaybeData, MaybeFile
from lddu.cli.recipe import Recipe
from lddu.runs.options import Preset, Protocol


def train(
    data: MaybeData = None,
    preset: Preset = "small",
    seeds: Annotated[int, arg(aliases=["--members"])] = 1,
    set: tuple[str, ...] = (),
    protocol: Protocol = "validation",
    soft: bool = True,
    baselines: bool = True,
    config: MaybeFile = None,
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> None:
    """Trains on a data set, calibrates, scores the test split once and writes a run folder.

    The same command continues a run that was stopped or killed.

    Example: lddu train mydata --preset tiny --set train.epochs=1 --out runs/mine

    Args:
      data: Folder or table in the open format (docs/data.md). With --config it may be left out.
      preset: The configuration to start from.
      seeds: Number of models trained from different seeds, scored one by one and as an ensemble.
      set: Changes to the configuration: train.epochs=5 loss.contrastive=0.
      protocol: "validation", or "official" to choose on the TEST split as the official code does.
      soft: Whether to train on soft labels where the data have them; hard labels are scored.
      baselines: Whether to fit logistic regression and a random forest too.
      config: The `train.json` of a run, to run it again exactly. Only --out, --set and DATA count
        beside it.
      out: Run folder; runs/ and the name of the data if not given.
    """
    from lddu.cli.datasets import load
    from lddu.config import parse_all, replace
    from lddu.runs import experiment
    from lddu.runs.options import Options
    from lddu.training import memory

    if config is not None:
        recipe = Recipe.read(config)
        recipe = dataclasses.replace(recipe, config=replace(recipe.config, parse_all(set)))
        if data is not None:
            recipe = dataclasses.replace(recipe, data=str(data.absolute()))
        dataset = load(Path(recipe.data))
    elif data is None:
        raise ValueError("name the DATA to train on, or a run to repeat: --config RUN/train.json")
    else:
        dataset = load(data)
        cfg = experiment.configure(dataset, Options(preset, seeds, set=set))
        recipe = Recipe(str(data.absolute()), protocol, soft, baselines, cfg)
    name = Path(recipe.data).stem if Path(recipe.data).is_file() else Path(recipe.data).name
    out = Path("runs") / name if out is None else out
    recipe.write(out)
    memory.keep()
    members = recipe.config.train.members
    options = Options(preset, members, recipe.protocol, recipe.soft, recipe.baselines, set, out)
    try:
        experiment.run(dataset, options, dataset.card.name, cfg=recipe.config)
    except KeyboardInterrupt:
        again = shlex.join(
            ["lddu", "train", "--config", str(out / "train.json"), "--out", str(out)]
        )
        raise Stopped(
            f"stopped; {out} keeps every epoch that was finished. To go on: {again}"
        ) from None
