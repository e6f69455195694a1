"""Data-parallel training: the rows of every batch lie on several devices, in one process or many.

All devices hold the data, the training state and the memory bank; a batch is split over the mesh
axis "data". The functions are those of a single device, compiled for the mesh, so every term of
the loss (contrasts, softmaxes over the batch, means by weight) is that of the whole batch, and
results differ from those of a single device by rounding only.

Where members of an ensemble train at the same time, in one process, the mesh has a second axis,
"members": each of its groups of devices trains some of the members (`lddu.training.ensemble`).

Several processes, each with devices of its own (a TPU pod, several GPU hosts), run one program on
the same data, with one folder that all of them see:

    jax.distributed.initialize()  # before any other use of JAX; see its arguments
    lddu.fit(config, train, valid, folder="run")

Every process gets the predictor and can predict; `batch_size` must be a multiple of the number of
processes. To save it, call `fit` with that folder in a single process, which finds the run complete
and only loads it: orbax, which writes the parameters, would wait for the other processes.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lddu.data.batching import fingerprint
from lddu.structs import Batch

DATA = "data"
MEMBERS = "members"


def training_devices(limit: int = 0) -> list[jax.Device] | None:
    """The devices to train on, those of all processes.

    Args:
      limit: At most so many of each process; 0 for all, or one where they are CPUs: simulated
        devices share its cores and only serve to try things out.

    Returns:
      The devices, or None where JAX's default device is the only one.
    """
    limit = limit or (1 if jax.default_backend() == "cpu" else jax.local_device_count())
    if jax.process_count() == 1 and min(limit, jax.local_device_count()) == 1:
        return None
    return [device for group in _by_process(jax.devices()) for device in group[:limit]]


def data_mesh(batch_size: int, devices: Sequence[jax.Device]) -> Mesh:
    """A 1-D mesh of as many devices as divide the batch, equally many of each process.

    Raises:
      ValueError: If the number of processes does not divide the batch.
    """
    groups = _by_process(devices)
    if batch_size % len(groups):
        raise ValueError(
            f"batch_size={batch_size} does not divide among {len(groups)} processes; take a "
            "multiple of their number"
        )
    used = largest_divisor(batch_size // len(groups), min(len(group) for group in groups))
    return Mesh(np.array([device for group in groups for device in group[:used]]), (DATA,))


def mesh_shape(members: int, batch_size: int, devices: int) -> tuple[int, int]:
    """How to divide an ensemble among devices.

    Args:
      members: How many members there are; divided into groups of equal size.
      batch_size: Rows of a member's batch; divided into parts of equal size.
      devices: How many there are; each takes one part of the batches of one group.

    Returns:
      The numbers (groups, parts) that use most devices; of equals those with most groups, because
      groups do not communicate.
    """
    shapes = [
        (groups, largest_divisor(batch_size, devices // groups))
        for groups in range(1, devices + 1)
        if members % groups == 0
    ]
    return max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def member_mesh(members: int, batch_size: int, devices: Sequence[jax.Device]) -> Mesh:
    """A mesh ("members", "data") of the shape that `mesh_shape` chooses."""
    groups, parts = mesh_shape(members, batch_size, len(devices))
    used = np.array(devices[: groups * parts]).reshape(groups, parts)
    return Mesh(used, (MEMBERS, DATA))


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`."""
    return max(n for n in range(1, limit + 1) if number % n == 0)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts arrays on every device of a mesh; each process gives the same ones."""
    sharding = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                put(jax.random.key_data(x)), impl=jax.random.key_impl(x)
            )
        x = np.asarray(x)
        x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)
        # `device_put` would compare all of it between processes, and fail where padding is NaN.
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(put, tree)


def require_same(*data: Batch) -> None:
    """Requires that all processes hold the same data.

    Raises:
      ValueError: In every process, if they do not.
    """
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(bytes.fromhex("".join(map(fingerprint, data))), np.uint8)
    if np.ptp(multihost_utils.process_allgather(digest), axis=0).any():
        raise ValueError(
            "processes hold different data; each needs all training and validation rows, in the "
            "same order"
        )


def split_rows(function: Callable, mesh: Mesh, arguments: tuple[int, ...]) -> Callable:
    """Spreads the rows of some arguments over the mesh axis "data", to be compiled for the mesh.

    Args:
      function: Of positional arguments, pytrees of arrays.
      mesh: One with an axis "data", whose size divides the number of rows.
      arguments: Positions of those of which every leaf has a leading axis of rows.

    Returns:
      `function`, as it is if the axis has size 1. What is gathered by sharded indices is sharded,
      and so is all that is computed from it.
    """
    if mesh.shape[DATA] == 1:
        return function
    split = NamedSharding(mesh, PartitionSpec(DATA))

    @functools.wraps(function)
    def sharded(*args):
        return function(
            *(
                jax.lax.with_sharding_constraint(arg, split) if k in arguments else arg
                for k, arg in enumerate(args)
            )
        )

    return sharded


def split_step(step: Callable, mesh: Mesh) -> Callable:
    """step(state, data, rows, weight, key) of `build_step` with its rows split over "data"."""
    return split_rows(step, mesh, (2, 3))


def split_probs(probs: Callable, mesh: Mesh) -> Callable:
    """probs(params, data, rows) of `build_probs` with its rows split over "data"."""
    return split_rows(probs, mesh, (2,))


def compile_for(mesh: Mesh, function: Callable, donate: bool = False) -> Callable:
    """Compiles for a mesh a function of which every device has all that it takes and gives.

    Args:
      mesh: Any.
      function: Of positional arguments; inside, it may spread rows, as `split_rows` does.
      donate: Whether the first argument is donated.
    """
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        function,
        in_shardings=whole,
        out_shardings=whole,
        donate_argnums=0 if donate else (),
    )


def _by_process(devices: Sequence[jax.Device]) -> list[list[jax.Device]]:
    groups: dict[int, list[jax.Device]] = {}
    for device in devices:
        groups.setdefault(device.process_index, []).append(device)
    return [groups[process] for process in sorted(groups)]
