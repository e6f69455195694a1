"""`lddu export`: a trained model as one file."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lddu.cli.arguments import Run
from lddu.cli.folders import load_predictor


def export(
    folder: Run,
    out: Positional[Annotated[Path, arg(metavar="FILE")]],
    format: Literal["stablehlo", "onnx"] = "stablehlo",
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Writes a trained model, calibrated and with thresholds, as one file.

    Example: lddu export runs/demo model.lddu

    Args:
      folder: A run folder, or one that `Predictor.save` wrote.
      out: A new file. StableHLO is read by lddu.export.load, or as the README.txt in it says.
      format: "stablehlo", which JAX runs, or "onnx", which needs lddu[onnx] to be written.
      platforms: Platforms for StableHLO, out of cpu, cuda, rocm and tpu.
    """
    from lddu.export import onnx, stablehlo

    predictor = load_predictor(folder)
    if format == "onnx":
        path, target = onnx.export_onnx(predictor, out), "ONNX"
    else:
        path, target = stablehlo.export(predictor, out, platforms), ", ".join(platforms)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB for {target}")
