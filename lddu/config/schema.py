"""`Config`: everything that defines a run apart from the data, and its JSON form."""

import dataclasses
import json

from lddu.config.calibration import CalibrationConfig
from lddu.config.checks import require, require_types
from lddu.config.execution import ExecutionConfig
from lddu.config.loss import LossConfig
from lddu.config.model import ModelConfig
from lddu.config.training import TrainConfig
from lddu.files import parse_json


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines a run, apart from the data.

    Attributes:
      model: The network.
      loss: The objective.
      train: The training.
      calibration: What is fitted on validation data after training.
      execution: How to compute all that; a run may be continued under other settings.

    Raises:
      ValueError: If the loss has a term that the fusion cannot serve.
    """

    model: ModelConfig
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    calibration: CalibrationConfig = dataclasses.field(default_factory=CalibrationConfig)
    execution: ExecutionConfig = dataclasses.field(default_factory=ExecutionConfig)

    def __post_init__(self):
        require_types(self, "config")
        fusion = self.model.fusion
        require(
            fusion in ("precision", "equal") or self.loss.unimodal == 0,
            f"loss.unimodal={self.loss.unimodal} needs model.fusion='precision' or 'equal', not "
            f"{fusion!r}: only there can a modality predict alone; set it to 0",
        )
        official = self.loss.direct > 0 or (
            self.loss.spread > 0 and self.loss.spread_target == "probability"
        )
        require(
            fusion == "gate" or not official,
            "loss.direct and loss.spread_target='probability' need model.fusion='gate', which has "
            f"a direct probability; it is {fusion!r}",
        )

    def to_json(self) -> str:
        """Returns JSON text, which `from_json` reads back to an equal configuration."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Config":
        """Reads the text that `to_json` writes.

        Args:
          text: JSON text, in UTF-8 if it is bytes; fields that it lacks take their defaults.

        Returns:
          The configuration.

        Raises:
          ValueError: If the text is not JSON, a key is unknown or missing, or a value has another
            type or is not allowed; the message names it.
        """
        try:
            return parse_json(text, cls, infinite=True)
        except ValueError as error:
            raise ValueError(f"not a configuration written by Config.to_json: {error}") from error
