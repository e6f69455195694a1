"""PyTorch's tensors as its files describe them: NumPy views of their storages."""

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from lddu.data.formats.arrays import ML_DTYPES
from lddu.data.formats.objects import Name, UnsafePickleError, whole

_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
    "UntypedStorage": np.uint8,
}
_STORAGE_DTYPES = {
    f"{module}.{name}": np.dtype(dtype)
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in _STORAGES.items()
}
_NUMPY_NAMES = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
_DTYPES = {
    f"torch.{name}": dtype
    for name, dtype in ({name: np.dtype(name) for name in _NUMPY_NAMES} | ML_DTYPES).items()
}
_TENSOR_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")


class Storages:
    """Finds the storage behind a persistent id, as an array (elements,)."""

    def __init__(self, find: Callable[[str, np.dtype, int], np.ndarray], swap: bool = False):
        """Prepares for one file.

        Args:
          find: (key, dtype, number of elements) -> the bytes of a storage, (bytes,) uint8.
          swap: Whether the file has the other byte order than this machine.
        """
        self._find, self._swap = find, swap
        self._known: dict[tuple[str, np.dtype], np.ndarray] = {}

    def __call__(self, identity: Any) -> np.ndarray:
        """Returns the storage behind an id.

        Raises:
          ValueError: If the id is not one of a storage, or the storage is missing or too small.
        """
        tag, kind, key, _, count, *rest = identity
        if tag != "storage" or type(kind) is not Name or kind not in _STORAGE_DTYPES:
            raise ValueError(f"expected the id of a storage, got {identity!r:.80}")
        dtype, key, (count,) = _STORAGE_DTYPES[kind], str(key), whole([count])
        if (key, dtype) not in self._known:
            data = self._find(key, dtype, count)
            self._known[key, dtype] = as_dtype(data, dtype, self._swap)
        elements = self._known[key, dtype]
        if elements.size < count:
            raise ValueError(f"storage {key} has {elements.size} elements, expected {count}")
        # In the older format a storage can be part of another: (key, offset, elements).
        start, number = whole(rest[0][1:]) if rest and rest[0] else (0, count)
        if start + number > count:
            raise ValueError(f"storage {key} has a part outside itself")
        return elements[start : start + number]


def as_dtype(data: np.ndarray, dtype: np.dtype, swap: bool = False) -> np.ndarray:
    """Returns bytes as read-only numbers in the byte order of this machine, copied only to swap.

    Args:
      data: (bytes,) uint8; a last element that is cut short is left out.
      dtype: Type of the numbers.
      swap: Whether they have the other byte order than this machine.
    """
    data = data[: data.size // dtype.itemsize * dtype.itemsize]
    # A complex number is two numbers. ml_dtypes have no byte order, so integers are swapped.
    word = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    if swap and word > 1:
        data = data.view(f"u{word}").byteswap().view(np.uint8)
    values = data.view(dtype)
    values.flags.writeable = False
    return values


def _strided(storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """Returns a read-only view of a storage; offset and strides count elements.

    Raises:
      ValueError: If any element lies outside the storage.
    """
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or storage.dtype.hasobject:
        raise ValueError(f"expected a storage, got a {type(storage).__name__}")
    (offset,), size, stride = whole([offset]), whole(size), whole(stride)
    if len(size) != len(stride):
        raise ValueError(f"a tensor of size {size} has strides {stride}")
    if 0 in size:
        tensor = np.empty(size, storage.dtype)
        tensor.flags.writeable = False
        return tensor
    # Strides along axes of one element are arbitrary.
    steps = [s if n > 1 else 0 for n, s in zip(size, stride, strict=True)]
    last = offset + sum((n - 1) * s for n, s in zip(size, steps, strict=True))
    if last >= storage.size:
        raise ValueError(
            f"a tensor of size {size}, strides {stride} and offset {offset} reaches beyond its "
            f"storage of {storage.size} elements"
        )
    width = storage.itemsize
    data = np.ascontiguousarray(storage).view(np.uint8)
    tensor = np.ndarray(size, storage.dtype, data, offset * width, [s * width for s in steps])
    tensor.flags.writeable = False
    return tensor


def _apply_bits(tensor: np.ndarray, metadata: Mapping[str, Any] | None) -> np.ndarray:
    """Applies conj() and negation, which PyTorch stores as bits beside unchanged data."""
    if metadata and metadata.get("conj"):
        tensor = np.conj(tensor)
    if metadata and metadata.get("neg"):
        tensor = np.negative(tensor)
    tensor = np.asarray(tensor)
    tensor.flags.writeable = False
    return tensor


def _size(items: Any = ()) -> tuple[int, ...]:
    return whole(items)


def _device(kind: str, index: int | None = None) -> str:
    return str(kind) if index is None else f"{kind}:{index}"


def tensor_calls(swap: bool = False) -> dict[str, Callable | None]:
    """Returns what PyTorch's files call, like `calls.PLAIN_CALLS`, for (elements,) storages.

    Args:
      swap: Whether untyped storages, which are uint8, have the other byte order than this machine.
    """

    def tensor(storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
        return _strided(storage, offset, size, stride)

    def tensor_v2(
        storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, bits: Any = None
    ) -> np.ndarray:
        return _apply_bits(_strided(storage, offset, size, stride), bits)

    def tensor_v3(
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        grad: Any,
        hooks: Any,
        dtype: Any,
        bits: Any = None,
    ) -> np.ndarray:
        if type(dtype) is not Name or dtype not in _DTYPES or storage.dtype != np.uint8:
            raise ValueError(f"expected a dtype over an untyped storage, got {dtype!r:.80}")
        typed = as_dtype(storage, _DTYPES[dtype], swap)
        return _apply_bits(_strided(typed, offset, size, stride), bits)

    def parameter(data: Any, *_: Any) -> np.ndarray:
        if not isinstance(data, np.ndarray):
            raise ValueError(f"a parameter holds a {type(data).__name__}, expected a tensor")
        return data

    rebuild: dict[str, Callable | None] = {
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor_v2,
        "torch._utils._rebuild_tensor_v3": tensor_v3,
        "torch._utils._rebuild_parameter": parameter,
        "torch._utils._rebuild_parameter_with_state": parameter,
    }

    def from_type(function: Any, kind: Any, args: Any, _: Any) -> np.ndarray:
        # Attributes of a tensor are dropped, as those of a state dict.
        if type(function) is not Name or function not in rebuild or kind not in _TENSOR_TYPES:
            raise UnsafePickleError(f"asks to rebuild a {kind!r:.80} by {function!r:.80}")
        return rebuild[function](*args)

    references = dict.fromkeys((*_STORAGE_DTYPES, *_DTYPES, *_TENSOR_TYPES))
    return {
        **references,
        **rebuild,
        "torch._tensor._rebuild_from_type_v2": from_type,
        "torch.Size": _size,
        "torch.device": _device,
    }
