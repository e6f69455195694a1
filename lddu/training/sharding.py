"""Training on several devices: how members and the rows of their batches are divided among them.

Devices form a mesh with the axes "members" and "data". Each of its groups of devices trains an
equal share of the members that train at the same time, and the devices of a group share the rows
of every batch. Each device holds all of the data, the training state of its members and their
memory banks. The functions are those of a single device, compiled for the mesh, so that every term
of the loss (contrasts, softmaxes over the batch, weighted means) is that of the whole batch, and
results differ from those of a single device by rounding only.

Several processes, each with devices of its own (a TPU pod, several GPU hosts), run one program on
the same data, with one folder that all of them see:

    jax.distributed.initialize()  # before any other use of JAX; see its arguments
    predictor = lddu.fit(config, train, valid, folder="run")
    predictor.save("model")  # the first process writes

Members then train one after the other, each on all devices. Every process gets the predictor and
can predict; `batch_size` must be a multiple of the number of processes.
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
    """Returns the devices to train on, those of all processes.

    Args:
      limit: Largest number of devices of each process; 0 uses all of them, or one where they are
        CPUs: simulated devices share its cores and only serve to try things out.

    Returns:
      The devices, or None where JAX's default device is the only one.
    """
    limit = limit or (1 if jax.default_backend() == "cpu" else jax.local_device_count())
    if jax.process_count() == 1 and min(limit, jax.local_device_count()) == 1:
        return None
    return [device for group in _by_process(jax.devices()) for device in group[:limit]]


def training_mesh(
    members: int, batch_size: int, devices: Sequence[jax.Device] | None
) -> Mesh | None:
    """Builds the mesh ("members", "data") of a group of members.

    Args:
      members: Number of members that train at the same time.
      batch_size: Rows of a member's batch.
      devices: Devices to use as far as they can be divided; None for JAX's default device.

    Returns:
      The mesh, with equally many devices of each process; None for JAX's default device.

    Raises:
      ValueError: If there are several processes, and several members or a batch that the processes
        cannot share equally.
    """
    if devices is None:
        return None
    processes = _by_process(devices)
    if len(processes) == 1:
        groups, rows = mesh_shape(members, batch_size, len(devices))
        return Mesh(np.array(devices[: groups * rows]).reshape(groups, rows), (MEMBERS, DATA))
    if members > 1:
        raise ValueError(
            "members train at the same time within one process only; set "
            "execution.parallel_members='never'"
        )
    if batch_size % len(processes):
        raise ValueError(
            f"batch_size={batch_size} cannot be divided equally among {len(processes)} processes; "
            "use a multiple of their number"
        )
    used = largest_divisor(batch_size // len(processes), min(map(len, processes)))
    chosen = [device for process in processes for device in process[:used]]
    return Mesh(np.array(chosen)[None], (MEMBERS, DATA))


def mesh_shape(members: int, batch_size: int, devices: int) -> tuple[int, int]:
    """Divides members and rows among the devices of one process.

    Args:
      members: Number of members, divided into groups of equal size.
      batch_size: Rows of a member's batch, divided into parts of equal size.
      devices: Number of devices; each computes one part of the batches of one group.

    Returns:
      The numbers (groups, parts) that use most devices; among equals, those with most groups,
      because groups do not communicate.
    """
    shapes = [
        (groups, largest_divisor(batch_size, devices // groups))
        for groups in range(1, devices + 1)
        if members % groups == 0
    ]
    return max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def largest_divisor(number: int, limit: int) -> int:
    """Returns the largest divisor of `number` that is at most `limit`."""
    return max(n for n in range(1, limit + 1) if number % n == 0)


def parts(mesh: Mesh | None) -> int:
    """Returns the number of devices that share the rows of a batch."""
    return 1 if mesh is None else mesh.shape[DATA]


def place(tree: Any, mesh: Mesh | None, axis: str | None = None) -> Any:
    """Puts arrays on the devices of a mesh.

    Args:
      tree: A pytree of arrays; every process gives the same ones.
      mesh: The mesh; None leaves the arrays to JAX's default device.
      axis: Mesh axis to divide the leading axis among; None puts all of an array on every device.
    """
    if mesh is None:
        return jax.device_put(tree)
    sharding = NamedSharding(mesh, PartitionSpec(axis) if axis else PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(x))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        x = np.asarray(x)
        x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)
        # `device_put` would compare the arrays of all processes, and fail where padding is NaN.
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(put, tree)


def require_same(*data: Batch) -> None:
    """Raises ValueError in every process unless all processes hold the same data."""
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(bytes.fromhex("".join(map(fingerprint, data))), np.uint8)
    if np.ptp(multihost_utils.process_allgather(digest), axis=0).any():
        raise ValueError(
            "processes hold different data; each needs all training and validation rows, in the "
            "same order"
        )


def split_rows(function: Callable, mesh: Mesh | None, arguments: tuple[int, ...]) -> Callable:
    """Divides the rows of some arguments among the devices of a group.

    Args:
      function: Function of positional arguments, pytrees of arrays, to be compiled for the mesh.
      mesh: A mesh whose axis "data" divides the number of rows; None for a single device.
      arguments: Positions of the arguments to shard along their leading axis.

    Returns:
      `function`, unchanged where one device holds all rows. What is gathered by sharded indices is
      sharded, and so is everything computed from it.
    """
    if parts(mesh) == 1:
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


def _by_process(devices: Sequence[jax.Device]) -> list[list[jax.Device]]:
    groups: dict[int, list[jax.Device]] = {}
    for device in devices:
        groups.setdefault(device.process_index, []).append(device)
    return [groups[process] for process in sorted(groups)]
