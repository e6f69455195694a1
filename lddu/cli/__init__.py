"""The command `lddu`.

lddu compare RUN RUN ...     runs side by side, with paired bootstrap intervals
lddu export RUN OUT          a run's model as one file that runs without this library
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lddu.predictor import Predictor
from lddu.runs import comparison

try:
    import tyro
except ImportError as error:
    raise ImportError("the command `lddu` needs tyro: pip install 'lddu[cli]'") from error


def compare(
    runs: tyro.conf.Positional[tuple[str, ...]],
    resamples: int = 1000,
    level: float = 0.95,
    markdown: bool = False,
) -> None:
    """Compares finished runs on the same test samples, each with the first one.

    Args:
      runs: Run folders; "folder:model" chooses another model than the calibrated ensemble.
      resamples: Bootstrap resamples.
      level: Of the intervals.
      markdown: Whether to print Markdown tables.
    """
    contestants = comparison.compare(runs, resamples, level)
    print(comparison.format_comparison(contestants, level, markdown))


def export(
    folder: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    format: Literal["stablehlo", "onnx"] = "stablehlo",
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Writes a trained model, calibrated and with thresholds, as one file.

    Args:
      folder: A run folder, or one that `Predictor.save` wrote.
      out: A new file. StableHLO is read by lddu.export.load, or as the README.txt in it says.
      format: stablehlo, which JAX runs, or onnx, which needs lddu[onnx] to be written.
      platforms: What StableHLO is to run on, out of cpu, cuda, rocm and tpu.
    """
    from lddu.export import onnx
    from lddu.export import stablehlo as exporting  # here: `lddu compare` stays fast

    inner = folder / "predictor"
    predictor = Predictor.load(inner if (inner / "predictor.json").exists() else folder)
    if format == "onnx":
        path, target = onnx.export_onnx(predictor, out), "ONNX"
    else:
        path, target = exporting.export(predictor, out, platforms), ", ".join(platforms)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB for {target}")


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; errors about the input end with a message instead of a traceback."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"compare": compare, "export": export}, prog="lddu", description=__doc__, args=args
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"lddu: {error}")


if __name__ == "__main__":
    main()
