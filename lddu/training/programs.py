"""The compiled programs of training, for a group of members on one or several devices."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lddu.config import Config, replace
from lddu.data.batching import batches
from lddu.packing.plan import Packer
from lddu.training.memory import Trimmed
from lddu.training.optimizer import build_optimizer
from lddu.training.sharding import DATA, MEMBERS, parts, split_rows
from lddu.training.step import Resident, build_forward, build_step, scanned

# What only the loop around the programs reads.
_LOOP = {
    "train.seed": 0,
    "train.members": 1,
    "train.epochs": 1,
    "train.patience": 0,
    "train.monitor": "nll",
}


class Programs(NamedTuple):
    """What a trainer calls. All leaves but the data have a leading axis of K members.

    Attributes:
      step: step(state, data, rows, weight, keys) -> (state, measurements); donates the state.
      steps: The same for several steps in one call: rows (K, steps, B), weight (steps, B).
      forward: forward(params, data, rows) -> (K, B, C) probabilities.
      keep: keep(kept, params, better) -> the parameters of each member, the new ones where `better`
        (K,) is True; donates `kept`.
    """

    step: Trimmed
    steps: Trimmed
    forward: Trimmed
    keep: Callable[[Any, Any, np.ndarray], Any]


def training_programs(
    config: Config, total_steps: int, members: int, mesh: Mesh | None
) -> Programs:
    """Returns the compiled programs of a group of members.

    Runs that compute the same share them, so that one process compiles once for all seeds and folds
    whose data have the same shapes.

    Args:
      config: The configuration of the run.
      total_steps: Number of steps of the whole run.
      members: Number of members K in the group.
      mesh: Devices, from `lddu.training.sharding.training_mesh`; None for JAX's default device.
    """
    return _compile(replace(config, _LOOP), total_steps, members, mesh)


@functools.lru_cache(maxsize=16)
def _compile(config: Config, total_steps: int, members: int, mesh: Mesh | None) -> Programs:
    optimizer = build_optimizer(config.train, total_steps)
    step = split_rows(build_step(config, optimizer), mesh, (2, 3))
    forward = split_rows(build_forward(config), mesh, (2,))

    def program(function: Callable, in_axes: Sequence[int | None], donate: bool = False):
        return compile_group(function, members, in_axes, mesh, donate)

    axes = (0, None, 0, None, 0)
    return Programs(
        step=Trimmed(program(step, axes, donate=True)),
        steps=Trimmed(program(scanned(step), axes, donate=True)),
        forward=Trimmed(program(forward, (0, None, None))),
        keep=program(_choose, (0, 0, 0), donate=True),
    )


def compile_group(
    function: Callable,
    members: int,
    in_axes: Sequence[int | None],
    mesh: Mesh | None = None,
    donate: bool = False,
) -> Callable:
    """Extends a function of one member to a group of members, and compiles it.

    Args:
      function: Function of positional arguments, pytrees of arrays.
      members: Number of members K.
      in_axes: For each argument 0 where members have their own, with a leading axis K, or None
        where they share one.
      mesh: Devices; groups of them hold different members. None for JAX's default device.
      donate: Whether the first argument is donated.

    Returns:
      The jitted function; every leaf of its result has a leading axis K.
    """
    donated = 0 if donate else ()
    if mesh is None:
        return jax.jit(_over_members(function, members, in_axes), donate_argnums=donated)
    groups = mesh.shape[MEMBERS]
    mapped = _over_members(function, members // groups, in_axes)
    specs = tuple(PartitionSpec() if axis is None else PartitionSpec(MEMBERS) for axis in in_axes)
    out = PartitionSpec(MEMBERS)
    if groups > 1:
        # By `shard_map` each group runs its members as a program of its own. If the compiler
        # partitioned them, random draws would make the groups wait for each other. Only the rows
        # of a group's batches are left to the compiler.
        manual = set(mesh.axis_names) if mesh.shape[DATA] == 1 else {MEMBERS}
        mapped = jax.shard_map(
            mapped, mesh=mesh, in_specs=specs, out_specs=out, axis_names=manual, check_vma=False
        )
    return jax.jit(
        mapped,
        in_shardings=tuple(NamedSharding(mesh, spec) for spec in specs),
        out_shardings=NamedSharding(mesh, out),
        donate_argnums=donated,
    )


def _over_members(function: Callable, members: int, in_axes: Sequence[int | None]) -> Callable:
    """Vectorises a function over members; a single one is not, because XLA runs it faster so."""
    if members > 1:
        return jax.vmap(function, in_axes=tuple(in_axes))

    def alone(*args: Any) -> Any:
        own = [
            arg if axis is None else jax.tree.map(lambda x: x[0], arg)
            for arg, axis in zip(args, in_axes, strict=True)
        ]
        return jax.tree.map(lambda x: x[None], function(*own))

    return alone


def over_data_set(
    forward: Callable[[Any, Resident, Any], Array],
    config: Config,
    data: Resident,
    mesh: Mesh | None = None,
    batch_size: int = 256,
) -> Callable[[Any], np.ndarray]:
    """Extends the forward pass to a whole data set, in batches of one size.

    Args:
      forward: `Programs.forward`.
      config: The configuration of the run.
      data: The data set, on the devices.
      mesh: The mesh of `forward`.
      batch_size: Most rows per call; on several devices rounded up to a multiple of their number.

    Returns:
      evaluate(params) -> (K, N, C) probabilities as a NumPy array.
    """
    rows = data.batch.size
    size = -(-min(batch_size, rows) // parts(mesh)) * parts(mesh)
    index, weight = batches(np.arange(rows), size)
    trial = index if packs(config, mesh) else index[:0]
    packer = Packer(data.batch, config.model, trial)

    def evaluate(params: Any) -> np.ndarray:
        probs = [forward(params, data, rows) for rows, _ in packer.calls(index)]
        return np.concatenate(jax.device_get(probs), axis=1)[:, weight.reshape(-1) > 0]

    return evaluate


def packs(config: Config, mesh: Mesh | None) -> bool:
    """Returns whether batches are packed, which needs all rows of a batch on one device."""
    return config.execution.packing and parts(mesh) == 1


def _choose(old: Any, new: Any, better: Array) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(better, b, a), old, new)
