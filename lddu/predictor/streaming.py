"""Streams of any number of rows through a function of one shape, in bounded memory.

About three chunks and one batch of the caller's are in memory at a time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from lddu.data.batching import take
from lddu.structs import Batch

Item = TypeVar("Item")


class Chunk(NamedTuple):
    """Rows for one device call.

    Attributes:
      batch: Rows, equally many in every chunk; float32 and bool.
      seen: Bool for each row of `batch`, True where it has any input.
      rows: Number of rows that count; the others fill the chunk up.
    """

    batch: Batch
    seen: np.ndarray
    rows: int


def chunks(batches: Iterable[Batch], names: Sequence[str], batch_size: int) -> Iterator[Chunk]:
    """Cuts and joins batches into chunks of one size.

    A chunk is filled up with a repeated row only at the end and where the padded lengths change, so
    that chunks have as many shapes as the batches have padded lengths.

    Args:
      batches: Checked batches, with modalities but neither labels nor weights.
      names: Names of the modalities.
      batch_size: Number of rows of a chunk.

    Yields:
      Chunks that hold all rows in order.
    """
    parts: list[Batch] = []
    rows, lengths = 0, None
    for batch in batches:
        before, lengths = lengths, [batch.modalities[name].values.shape[1] for name in names]
        if rows and lengths != before:
            yield _fill(parts, names, batch_size)
            parts, rows = [], 0
        start = 0
        while start < batch.size:
            stop = min(batch.size, start + batch_size - rows)
            # Copied, because the caller may fill the same arrays anew for the next batch.
            parts.append(jax.tree.map(_copy, take(batch, slice(start, stop))))
            rows, start = rows + stop - start, stop
            if rows == batch_size:
                yield _fill(parts, names, batch_size)
                parts, rows = [], 0
    if rows:
        yield _fill(parts, names, batch_size)


def overlapped(
    run: Callable[[Item], Any], source: Iterable[Item], at_once: int = 2
) -> Iterator[tuple[Any, Item]]:
    """Runs a function on several items at a time, and yields results on the host in order.

    Each item runs in a thread: a device continues with the next one while the host reads, joins and
    fetches, and on CPU the products of one item fill the gaps of the other.

    Args:
      run: Function of an item that returns a pytree of arrays on a device; called in threads.
      source: Items; read in the caller's thread.
      at_once: Number of items that run at the same time.

    Yields:
      Pairs of a result and its item.
    """
    # Threads do not inherit JAX settings that the caller made by `with`.
    device, x64 = jax.config.jax_default_device, jax.config.jax_enable_x64
    precision = jax.config.jax_default_matmul_precision

    def fetch(item: Item) -> Any:
        with (
            jax.default_device(device),
            jax.default_matmul_precision(precision),
            jax.enable_x64(x64),
        ):
            return jax.device_get(run(item))

    waiting: deque[tuple[Future, Item]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        for item in source:
            waiting.append((threads.submit(fetch, item), item))
            if len(waiting) > at_once:
                result, before = waiting.popleft()
                yield result.result(), before
        for result, before in waiting:
            yield result.result(), before


def realign(parts: Iterable[tuple[Any, int]], sizes: deque[int]) -> Iterator[Any]:
    """Cuts and joins results of chunks so that each has the rows of one batch.

    Args:
      parts: Pairs of a pytree of arrays, with rows as the leading axis, and the number of its rows
        that count.
      sizes: Numbers of rows of the batches; it may grow while parts are produced.

    Yields:
      One pytree for each batch.
    """
    held: list[Any] = []
    have = 0
    for part, rows in parts:
        held.append(jax.tree.map(lambda x, rows=rows: np.array(x[:rows]), part))
        have += rows
        while sizes and have >= sizes[0]:
            size = sizes.popleft()
            if len(held) > 1:
                held = [jax.tree.map(lambda *x: np.concatenate(x), *held)]
            yield take(held[0], slice(size))
            have -= size
            held = [take(held[0], slice(size, None))] if have else []


def _copy(x: np.ndarray) -> np.ndarray:
    # One number type, because another would be another compilation.
    return np.array(x, bool if x.dtype == bool else np.float32)


def _fill(parts: Sequence[Batch], names: Sequence[str], batch_size: int) -> Chunk:
    rows = sum(part.size for part in parts)
    filler = [take(parts[0], np.zeros(batch_size - rows, int))] if rows < batch_size else []
    batch = parts[0]
    if len(parts) + len(filler) > 1:
        batch = jax.tree.map(lambda *x: np.concatenate(x), *parts, *filler)
    return Chunk(batch, batch.observed(names).any(-1), rows)
