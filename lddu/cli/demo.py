"""`lddu demo`: the main job end to end on synthetic data."""

from pathlib import Path


def demo(
    samples: int = 20_000, epochs: int = 5, seed: int = 0, out: Path = Path("runs/demo")
) -> None:
    """Trains, calibrates and scores a model on synthetic data whose exact posterior is known.

    Example: lddu demo --samples 2000 --epochs 1

    Args:
      samples: Number of training samples.
      epochs: Number of passes over them.
      seed: Seed of the data and of the model.
      out: Run folder; what is there is replaced.
    """
    from lddu.runs.demo import run

    run(samples, epochs, seed, out)
