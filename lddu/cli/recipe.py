"""`train.json`: what it takes to run a training again exactly."""

import dataclasses
import json
from pathlib import Path

from lddu import files
from lddu.config import Config
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
        text = path.read_text(encoding="utf-8")
        try:
            values = json.loads(text)
            config = Config.from_json(json.dumps(values.pop("config")))
            return cls(**values, config=config)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not the {FILE} of a run that `lddu train` wrote: {error}"
            ) from error
