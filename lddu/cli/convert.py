"""`lddu convert`: weights of the published model, in both directions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from lddu.config import Config
    from lddu.predictor import Predictor


def convert(
    source: Positional[Annotated[Path, arg(metavar="SOURCE")]],
    out: Positional[Annotated[Path, arg(metavar="OUT")]],
    labels: tuple[str, ...] = (),
    modalities: tuple[str, ...] = ("vision:35:60", "audio:74:60", "text:300:60"),
    set: tuple[str, ...] = (),
) -> None:
    """Turns the published model's weights into a saved predictor, or a predictor into weights.

    Example: lddu convert pytorch_model.bin lddu_official --labels happy sad anger surprise disgust
    fear

    Args:
      source: A `.bin`, `.pt` or `.npz` file with the weights under their official names, which is
        read without PyTorch; or a folder with a predictor of the preset `paper`.
      out: A new folder for the predictor; or a new `.npz` file for the weights under their official
        names.
      labels: Names of the labels, in the order of the weights.
      modalities: name:features:length of each modality, in the order vision, audio, text.
      set: Changes to the preset `paper`, such as model.encoder.layers=3.
    """
    import jax
    import numpy as np

    from lddu import config
    from lddu.cli.folders import load_predictor
    from lddu.files import atomic_path
    from lddu.official import weights

    if source.is_dir():
        predictor = load_predictor(source)
        params = jax.tree.map(lambda x: np.asarray(x[0]), predictor.params)
        state = weights.to_official(params, predictor.config)
        with atomic_path(out) as partial, partial.open("wb") as file:
            np.savez(file, **state)
        print(f"{out}: {len(state)} arrays under their official names")
        return
    if not labels:
        raise ValueError("name the labels in the order of the weights: --labels happy sad ...")
    cfg = config.paper(dict(map(_shape, modalities)), labels)
    cfg = config.replace(cfg, config.parse_all(set))
    if source.suffix == ".npz":
        with np.load(source, allow_pickle=False) as file:
            converted = weights.from_official(dict(file), cfg)
    else:
        converted = weights.from_official(source, cfg)
    _as_predictor(converted.params, cfg).save(out)
    print(f"{out}: {len(labels)} labels from {', '.join(cfg.model.modality_names)}")
    if converted.unused:
        print(f"not used: {', '.join(converted.unused)}")


def _shape(text: str) -> tuple[str, tuple[int, int]]:
    """Reads "vision:35:60" as the name, the number of features and the length."""
    try:
        name, features, length = text.split(":")
        return name, (int(features), int(length))
    except ValueError:
        raise ValueError(f"{text!r} is not of the form name:features:length") from None


def _as_predictor(params: Any, config: "Config") -> "Predictor":
    """Returns a predictor with the official weights, which take inputs as they are."""
    import jax
    import numpy as np

    from lddu.calibration import Identity
    from lddu.data import Normalizer
    from lddu.predictor import Predictor

    sizes = {m.name: m.features for m in config.model.modalities}
    normalizer = Normalizer(
        {name: np.zeros(size, np.float32) for name, size in sizes.items()},
        {name: np.ones(size, np.float32) for name, size in sizes.items()},
    )
    half = np.full(len(config.model.labels), 0.5)
    return Predictor(
        config,
        jax.tree.map(lambda x: np.asarray(x)[None], params),
        normalizer,
        base_rate=half,
        calibrator=Identity(),
        shared_threshold=np.asarray(0.5),
        label_thresholds=half,
    )
