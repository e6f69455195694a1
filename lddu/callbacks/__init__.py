"""What `lddu.fit` calls while it trains: your own hooks, and ready ones for experiment trackers.

- `Callback`: the base class, whose methods do nothing; override those you need.
- `TensorBoard`: event files; needs tensorboardX.
- `WeightsAndBiases`: a run of wandb, online or offline.
- `MLflow`: a run of an MLflow tracking server or folder.
"""

from lddu.callbacks.callback import Callback, Start
from lddu.callbacks.mlflow import MLflow
from lddu.callbacks.tensorboard import TensorBoard
from lddu.callbacks.wandb import WeightsAndBiases

__all__ = ["Callback", "MLflow", "Start", "TensorBoard", "WeightsAndBiases"]
