"""Synthetic multimodal data whose Bayes-optimal posterior is computed exactly.

The generative model, for C labels and M modalities:

1. Labels y in {0, 1}^C from a pairwise log-linear (Ising) law, so they are correlated.
2. A latent per label: z_c = (2 y_c - 1) + spread * noise.
3. Each modality m of a sample has a noise level s, one of a few geometric steps, and a length T.
4. Its steps are x_t = A_m z + s * noise, with A_m (D, C) of orthonormal columns.
5. A modality is missing with some probability, never all of them at once.

The model sees only x. D exceeds C, so that the noise level shows in the directions that A_m does
not use.
The posterior sums over all label sets and noise levels and integrates the latent in closed form.
"""

import dataclasses
import itertools

import numpy as np

from lddu.structs import Batch, Modality


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """The law of the data.

    Attributes:
      labels: Names of the C labels.
      features: Modality name -> width D, more than the number of labels.
      length: Modality name -> longest sequence; lengths are uniform from a quarter of it up.
      spread: Standard deviation of the latent around its class mean of +1 or -1.
      noise: Noise levels, drawn with equal probability for each sample and modality.
      missing: Probability that a modality is missing.
      law_seed: Seed of the label law and the mixing matrices.
    """

    labels: tuple[str, ...] = ("joy", "sadness", "anger", "surprise")
    features: tuple[tuple[str, int], ...] = (("text", 8), ("audio", 6), ("vision", 10))
    length: tuple[tuple[str, int], ...] = (("text", 12), ("audio", 16), ("vision", 16))
    spread: float = 0.8
    noise: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    missing: float = 0.1
    law_seed: int = 0

    def __post_init__(self):
        for name, width in self.features:
            if width <= len(self.labels):
                raise ValueError(
                    f"synthetic: modality {name!r} has {width} features; give it more than the "
                    f"{len(self.labels)} labels, or the noise level cannot be seen"
                )


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Drawn samples, with what only their maker knows.

    Attributes:
      batch: N samples with hard labels.
      noise: (N, M) noise level of each modality, in the order of the configuration.
      config: The law that they were drawn from.
    """

    batch: Batch
    noise: np.ndarray
    config: SyntheticConfig

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Returns name -> (features, length), as the presets of `lddu.config` take them."""
        lengths = dict(self.config.length)
        return {name: (width, lengths[name]) for name, width in self.config.features}


def generate(samples: int, seed: int = 0, config: SyntheticConfig | None = None) -> Synthetic:
    """Draws samples from the generative model.

    Args:
      samples: Number of samples, N.
      seed: Seed of the draw; the law itself depends on `config.law_seed` only.
      config: The law; None takes `SyntheticConfig()`.

    Returns:
      The samples with hard labels, and the noise level behind each.

    Example:
      >>> from lddu.data import synthetic
      >>> data = synthetic.generate(5, seed=1)
      >>> data.batch.labels.shape, data.noise.shape
      ((5, 4), (5, 3))
      >>> data.shapes()
      {'text': (8, 12), 'audio': (6, 16), 'vision': (10, 16)}
    """
    config = config or SyntheticConfig()
    rng = np.random.default_rng(seed)
    sets, log_prior, mixing = _law(config)
    chosen = rng.choice(len(sets), size=samples, p=np.exp(log_prior))
    labels = sets[chosen].astype(np.float32)
    latent = (2 * labels - 1) + config.spread * rng.standard_normal(labels.shape)

    present = rng.random((samples, len(mixing))) >= config.missing
    orphans = ~present.any(1)
    present[orphans, rng.integers(len(mixing), size=orphans.sum())] = True
    noise = rng.choice(config.noise, size=present.shape)

    modalities, lengths = {}, dict(config.length)
    for m, (name, width) in enumerate(config.features):
        longest = lengths[name]
        steps = rng.integers(max(1, longest // 4), longest + 1, size=samples) * present[:, m]
        values = (latent @ mixing[name].T)[:, None] + noise[:, m, None, None] * rng.standard_normal(
            (samples, longest, width)
        )
        mask = np.arange(longest) < steps[:, None]
        values = np.where(mask[..., None], values, 0.0).astype(np.float32)
        modalities[name] = Modality(values, mask)
    return Synthetic(
        Batch(modalities, {name: m.mask.any(1) for name, m in modalities.items()}, labels),
        noise,
        config,
    )


def bayes_posterior(data: Synthetic | Batch, config: SyntheticConfig | None = None) -> np.ndarray:
    """Computes the exact probability of each label given the inputs alone.

    Args:
      data: Samples drawn by `generate`, or any batch that follows the law `config`.
      config: The law. None takes that of `data` if it is a `Synthetic`, else `SyntheticConfig()`.

    Returns:
      (N, C) float64 P(y_c = 1 | x). No predictor has a smaller expected log loss or Brier score.

    Example:
      >>> from lddu.data import synthetic
      >>> probs = synthetic.bayes_posterior(synthetic.generate(5, seed=1))
      >>> probs.shape, bool(((probs > 0) & (probs < 1)).all())
      ((5, 4), True)
    """
    batch = data.batch if isinstance(data, Synthetic) else data
    config = config or (data.config if isinstance(data, Synthetic) else SyntheticConfig())
    sets, log_prior, mixing = _law(config)
    class_means = 2.0 * sets - 1.0
    levels = np.asarray(config.noise)
    names = [name for name, _ in config.features]
    projected, count, log_noise = [], [], []
    for name in names:
        summary = _sufficient(batch, name, mixing[name], levels)
        projected.append(summary[0])
        count.append(summary[1])
        log_noise.append(summary[2])

    size = batch.size
    evidence = np.full((size, len(sets)), -np.inf)
    prior_precision = config.spread**-2
    for chosen in itertools.product(range(len(levels)), repeat=len(names)):
        inverse = [levels[i] ** -2 for i in chosen]
        # p(x | z) is Gaussian in z with this precision and natural mean, up to `scale`.
        precision = sum(n * w for n, w in zip(count, inverse, strict=True))[:, None]
        natural = sum(s * w for s, w in zip(projected, inverse, strict=True))
        scale = sum(table[:, i] for table, i in zip(log_noise, chosen, strict=True))
        shifted = natural[:, None] + prior_precision * class_means
        total = precision + prior_precision
        log_integral = (
            0.5 * np.square(shifted).sum(-1) / total
            - 0.5 * prior_precision * np.square(class_means).sum(-1)
            - 0.5 * sets.shape[1] * np.log(total / prior_precision)
        )
        evidence = np.logaddexp(evidence, log_prior + scale[:, None] + log_integral)
    weights = np.exp(evidence - evidence.max(1, keepdims=True))
    return (weights / weights.sum(1, keepdims=True)) @ sets


def _law(config: SyntheticConfig) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Returns the label sets (2^C, C), their log-probabilities (2^C,) and name -> mixing (D, C)."""
    rng = np.random.default_rng(config.law_seed)
    c = len(config.labels)
    sets = np.array(list(itertools.product([0.0, 1.0], repeat=c)))
    coupling = np.triu(rng.normal(0.0, 0.6, (c, c)), 1)
    field = rng.normal(-0.4, 0.3, c)
    spins = 2 * sets - 1
    energy = spins @ field + np.einsum("ni,ij,nj->n", spins, coupling, spins)
    log_prior = energy - np.logaddexp.reduce(energy)
    mixing = {
        name: np.linalg.qr(rng.standard_normal((width, c)))[0] for name, width in config.features
    }
    return sets, log_prior, mixing


def _sufficient(
    batch: Batch, name: str, mixing: np.ndarray, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes one modality's sufficient statistics for the latent and the noise level.

    Returns:
      Sum over steps of A^T x (N, C); the number of steps (N,); and for each noise level (N, L) the
      part of log p(x | z, s) that does not depend on z.
    """
    modality: Modality = batch.modalities[name]
    mask = np.asarray(batch.effective_mask(name))
    values = np.where(mask[..., None], np.asarray(modality.values, np.float64), 0.0)
    steps = mask.sum(1).astype(np.float64)
    energy = np.square(values).sum((1, 2))
    width = values.shape[-1]
    log_noise = -0.5 * energy[:, None] / levels**2 - width * steps[:, None] * np.log(levels)
    return values.sum(1) @ mixing, steps, log_noise
