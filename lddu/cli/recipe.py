"""`train.json`: what it takes to run a training again exactly."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypedDict

from lddu import files
from lddu.config import Config
from lddu.files import damage_named, parse_json
from lddu.runs.options import Protocol

FILE = "train.json"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training: its data, its configuration and how it is scored.

    Attributes:
      data: Absolute path of the data set.
      protocol: What chooses the epoch, the calibrator and the thresholds.
      soft: Whether to train on soft labels where the data have them.
      baselines: Whether to fit the trained baselines.
      config: The configuration.
    """

    data: str
    protocol: Protocol
    soft: bool
    baselines: bool
    config: Config

    def write(self, folder: Path) -> Path:
        """Writes `train.json` into a run folder, and returns its path.

        Raises:
          ValueError: If the folder holds the recipe of another run; names what differs.
        """
        from lddu.predictor.run_folder import check_same

        path = folder / FILE
        if path.exists():
            before = Recipe.read(path)
            names = [field.name for field in dataclasses.fields(self) if field.name != "config"]
            for name in names:
                old, new = getattr(before, name), getattr(self, name)
                if old != new:
                    raise ValueError(
                        f"{folder} holds a run with {name}={old!r}, not {new!r}; choose another "
                        "folder with --out, or delete it"
                    )
            check_same(path, before.config, self.config)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["config"] = json.loads(self.config.to_json())
        return files.write_text(path, json.dumps(values, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Reads what `write` wrote; a run folder stands for the file in it.

        Raises:
          FileNotFoundError: If there is no such file.
          ValueError: If it is damaged, naming it.
        """
        path = path / FILE if path.is_dir() else path
        content = path.read_bytes()
        with damage_named(path):
            values = parse_json(content, _Recipe)
            return cls(**{**values, "config": Config.from_json(json.dumps(values["config"]))})


class _Recipe(TypedDict):
    """The content of `train.json`."""

    data: str
    protocol: Protocol
    soft: bool
    baselines: bool
    config: dict[str, Any]
