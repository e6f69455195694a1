"""The benchmark file `windows.npz`: a fixed processing of the film, to compare figures on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lddu.data.studyforrest.windows import Windows, make_batch
from lddu.files import Spec, damage_named, read_npz

# Array -> its shape and the NumPy kinds that its type may have; N, W and D differ between files.
_LAYOUT = {
    "text": (("N", "W", "D"), "f"),
    "text_length": (("N",), "iu"),
    "audio": (("N", 20, 5), "f"),
    "vision": (("N", 20, 149), "f"),
    "votes": (("N", 9, 22), "b"),
    "arousal": (("N", 9, 2), "b"),
    "valence": (("N", 9, 2), "b"),
    "start": (("N",), "f"),
    "end": (("N",), "f"),
    "split": (("N",), "iu"),
    "emotions": ((22,), "U"),
}


def read_windows(path: str | Path) -> Windows:
    """Reads windows that are stored as an `.npz`.

    Args:
      path: The file, with the arrays that `Windows` describes; `text` (N, W, D) is padded, and
        `text_length` (N,) has the numbers of words.

    Raises:
      FileNotFoundError: If the file does not exist.
      ValueError: If it is not an `.npz`, or an array is missing or has another shape, kind or range
        than expected, naming the array.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    arrays = read_npz(Path(path), _check_layout)
    with damage_named(Path(path)):
        _check_values(arrays)
    return Windows(
        batch=make_batch(
            arrays["text"].astype(np.float32),
            arrays["text_length"].astype(int),
            arrays["audio"].astype(np.float32),
            arrays["vision"].astype(np.float32),
        ),
        emotions=tuple(str(name).lower() for name in arrays["emotions"]),
        **{name: arrays[name] for name in ("votes", "arousal", "valence", "start", "end", "split")},
    )


def _check_layout(found: Mapping[str, Spec]) -> None:
    missing = [name for name in _LAYOUT if name not in found]
    if missing:
        raise ValueError(f"no array {', '.join(missing)}")
    sizes: dict[str, int] = {}
    for name, (shape, kinds) in _LAYOUT.items():
        spec = found[name]
        # The first array that has an N fixes it for the others.
        free = {s: n for s, n in zip(shape, spec.shape, strict=False) if isinstance(s, str)}
        sizes = free | sizes
        expected = tuple(sizes.get(s, s) for s in shape)
        if spec.shape != expected or spec.dtype.kind not in kinds:
            raise ValueError(f"{name!r} is {spec}, expected kind {kinds!r} and shape {expected}")
    if not sizes["N"]:
        raise ValueError("'text' has no rows")


def _check_values(arrays: Mapping[str, np.ndarray]) -> None:
    for name in _LAYOUT:
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name!r} holds numbers that are not finite")
    for name, top in (("text_length", arrays["text"].shape[1]), ("split", 2)):
        low, high = arrays[name].min(), arrays[name].max()
        if low < 0 or high > top:
            raise ValueError(f"{name!r} goes from {low} to {high}, expected 0 to {top}")
