"""Data sets as named on a command line."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lddu.config import ModelConfig
    from lddu.data.dataset import Dataset
    from lddu.structs import Batch
