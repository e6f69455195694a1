"""The trained members of a model as one network: what they predict before calibration."""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from einops import rearrange

from lddu.config import ExecutionConfig, ModelConfig
from lddu.data.batching import check_batch
from lddu.data.normalize import Normalizer, normalize
from lddu.model import LDDU
from lddu.packing.stream import StreamPacker
from lddu.packing.structs import Packing
from lddu.predictor.streaming import chunks, overlapped, realign
from lddu.structs import Batch, Prediction

FIELDS = tuple(field.name for field in dataclasses.fields(Prediction))

_CALL = 32e9  # largest number of encoder FLOPs in a device call on CPU


class Members(NamedTuple):
    """Uncalibrated predictions of K members for the same samples.

    Attributes:
      logits: (K, N, C) log-odds of each member's probabilities.
      seen: (N,) bool, True where a sample has any input. The others keep the base rate: there is
        nothing to calibrate.
      rest: Fields of a `Prediction` that calibration does not change, of the ensemble as a whole;
        the others are None.
    """

    logits: jax.typing.ArrayLike
    seen: jax.typing.ArrayLike
    rest: Prediction

    def member(self, k: int) -> "Members":
        """Returns the k-th member alone, without `rest`.

        Raises:
          IndexError: Unless 0 <= k < K.
        """
        check_member(k, len(self.logits))
        return Members(self.logits[k : k + 1], self.seen, empty_prediction())


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The trained members of a model, with the normalisation of their inputs.

    Attributes:
      config: The configuration of the model.
      execution: How to compute it.
      params: Parameters with a leading axis of K members.
      normalizer: Normalisation of the inputs.
    """

    config: ModelConfig
    execution: ExecutionConfig
    params: Any
    normalizer: Normalizer

    @property
    def size(self) -> int:
        """The number of members K."""
        return jax.tree.leaves(self.params)[0].shape[0]

    def member_params(self, k: int) -> Any:
        """Returns the parameters of the k-th member, with a leading axis of one.

        Raises:
          IndexError: Unless 0 <= k < K.
        """
        check_member(k, self.size)
        return jax.tree.map(lambda x: x[k : k + 1], self.params)

    def stream(
        self,
        batches: Iterable[Batch],
        batch_size: int | None,
        finish: Callable[[Members], Any],
    ) -> Iterator[Any]:
        """Runs the members on a stream of batches, in bounded memory.

        Args:
          batches: Batches from `prepare`.
          batch_size: Rows per device call; None for `default_batch_size`.
          finish: Turns the members' predictions into what leaves the device: a pytree of arrays
            with rows as the leading axis.

        Returns:
          An iterator over the results, one for each batch.

        Raises:
          ValueError: If `batch_size` is not positive.
        """
        size = checked_batch_size(batch_size, self.config)
        forward = compiled_forward(self.config, self.execution)
        pack = StreamPacker(self.config, size, self.execution.packing)
        sizes: deque[int] = deque()

        def counted() -> Iterator[Batch]:
            for batch in batches:
                sizes.append(batch.size)
                pack.look(batch)
                yield batch

        def run(planned) -> Any:
            chunk, packing = planned
            outputs = forward(self.params, self.normalizer, chunk.batch, packing)
            return finish(Members(outputs.logits, chunk.seen, outputs.rest))

        # Packing is planned here, in order, not in the threads of `overlapped`.
        inputs = chunks(counted(), self.config.modality_names, size)
        results = overlapped(run, ((chunk, pack(chunk.batch)) for chunk in inputs))
        return realign(((result, chunk.rows) for result, (chunk, _) in results), sizes)

    def members(self, batch: Batch, batch_size: int | None, fields: Sequence[str]) -> Members:
        """Runs the members on one batch; see `Predictor.members`."""
        left_out = unwanted(fields)

        def finish(members: Members) -> Any:
            # Rows are the leading axis of what leaves the device.
            rest = members.rest.replace(**left_out)
            return rearrange(members.logits, "k b c -> b k c"), members.seen, rest

        (result,) = self.stream([prepare(batch, self.config)], batch_size, finish)
        logits, seen, rest = result
        return Members(rearrange(logits, "b k c -> k b c"), seen, rest)


class Outputs(NamedTuple):
    """Outputs of the compiled forward pass.

    Attributes:
      logits: (K, B, C) log-odds of each member's probabilities.
      rest: Fields of the ensemble that calibration does not change; the others are None.
    """

    logits: jax.Array
    rest: Prediction


@functools.lru_cache(maxsize=16)
def compiled_forward(
    config: ModelConfig, execution: ExecutionConfig
) -> Callable[[Any, Normalizer, Batch, Mapping[str, Packing]], Outputs]:
    """Returns the compiled, uncalibrated forward pass; equal configurations share it.

    Args:
      config: The configuration of the model.
      execution: How to compute it.

    Returns:
      forward(params, normalizer, batch, packing) -> `Outputs`; leaves of `params` have a leading
      axis of members.
    """
    model = LDDU(config, execution)

    def forward(params, normalizer, batch, packing):
        batch = normalize(batch, normalizer)
        members = over_members(lambda p: model.apply({"params": p}, batch, packing=packing), params)
        return Outputs(members.logits, ensemble(members))

    return jax.jit(forward)


def over_members(function: Callable[[Any], Any], members: Any) -> Any:
    """Maps a function over the leading axis; a single member is not put into a slower loop."""
    if jax.tree.leaves(members)[0].shape[0] > 1:
        return jax.lax.map(function, members)
    return jax.tree.map(lambda x: x[None], function(jax.tree.map(lambda x: x[0], members)))


def ensemble(members: Prediction) -> Prediction:
    """Combines the fields of K members that calibration does not change.

    Args:
      members: A prediction whose leaves have a leading axis of members.

    Returns:
      A prediction of the ensemble, without `probs`, `logits`, `aleatoric` and `epistemic`: moments
      of the logits, weights and unimodal logits are means over members, `logit_disagreement` is the
      variance over members, and the latent distributions are the first member's.
    """

    def mean(leaf: jax.Array | None) -> jax.Array | None:
        return jax.tree.map(lambda x: x.mean(0), leaf)

    def first(tree: Any) -> Any:
        return jax.tree.map(lambda x: x[0], tree)

    return empty_prediction().replace(
        logit_mean=mean(members.logit_mean),
        logit_var=mean(members.logit_var),
        latents=first(members.latents),
        fused=first(members.fused),
        weights=mean(members.weights),
        unimodal_logits=mean(members.unimodal_logits),
        direct_logits=mean(members.direct_logits),
        logit_disagreement=jax.tree.map(lambda x: x.var(0), members.logit_mean),
    )


def check_member(k: int, members: int) -> None:
    """Raises IndexError unless 0 <= k < members."""
    if not 0 <= k < members:
        raise IndexError(f"member {k} does not exist; members are numbered from 0 to {members - 1}")


def empty_prediction() -> Prediction:
    """Returns a `Prediction` of which all fields are None."""
    return Prediction(**dict.fromkeys(FIELDS))


def unwanted(fields: Sequence[str] | None) -> dict[str, None]:
    """Returns the fields of a `Prediction` that are not asked for, each with the value None.

    Raises:
      ValueError: If `fields` is a single text or names something else.
    """
    if isinstance(fields, str) or not set(fields or ()) <= set(FIELDS):
        raise ValueError(f"fields={fields!r}: give a tuple of {', '.join(FIELDS)}")
    return {name: None for name in FIELDS if fields is not None and name not in fields}


def select(batch: Batch, config: ModelConfig) -> Batch:
    """Returns the batch without the modalities that the model does not have."""
    names = config.modality_names
    return batch.replace(
        modalities={name: batch.modalities[name] for name in names},
        present={name: batch.present[name] for name in names},
        label_names=None,
    )


def prepare(batch: Batch, config: ModelConfig) -> Batch:
    """Returns the inputs of a batch that the model has, as NumPy arrays.

    Raises:
      ValueError: If the batch does not fit the model; says how.
    """
    check_batch(batch, config)
    return jax.tree.map(np.asarray, select(batch, config).replace(labels=None, weight=None))


def prepare_all(batches: Iterable[Batch], config: ModelConfig) -> Iterator[Batch]:
    """Prepares a stream of batches; an error names the batch by its number."""
    for number, batch in enumerate(batches):
        try:
            yield prepare(batch, config)
        except ValueError as error:
            raise ValueError(f"batch {number}: {error}") from error


def default_batch_size(config: ModelConfig) -> int:
    """Returns the rows per device call that suit a model: 256, on CPU down to 16 for a large one.

    On CPU intermediate results should stay near the caches, and the overhead of a call is small.
    """
    if jax.default_backend() != "cpu":
        return 256
    steps = sum(-(-m.length // m.stride) for m in config.modalities)
    most = _CALL / max(steps * config.encoder.flops_per_step, 1.0)
    return int(2 ** np.clip(np.floor(np.log2(most)), 4, 8))


def checked_batch_size(batch_size: int | None, config: ModelConfig) -> int:
    """Returns the batch size that was asked for, or the default.

    Raises:
      ValueError: If it is not positive.
    """
    if batch_size is None:
        return default_batch_size(config)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    return batch_size
