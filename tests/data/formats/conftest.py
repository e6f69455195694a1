"""Writes pickles and files of torch.save with names of modules that are not installed."""

import io
import pickle
import zipfile
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

# As PyTorch names its storages.
KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}
MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Ref:
    """Pickled as a reference to the class or function of this name."""

    name: str

    def __call__(self):
        raise NotImplementedError("only here because a pickler asks for something callable")


@dataclass(eq=False)
class Call:
    """Pickled as a call, and a state to set on the result."""

    name: str
    args: tuple
    state: Any = None


@dataclass(eq=False)
class Storage:
    """Pickled as a persistent id; `values` (elements,) lie outside of the pickle."""

    values: np.ndarray
    key: str = "0"
    kind: str = ""
    extra: tuple = ()
    count: int = field(default=-1)

    def identity(self) -> tuple:
        kind = self.kind or "torch." + KINDS[self.values.dtype.name]
        count = self.values.size if self.count < 0 else self.count
        return ("storage", Ref(kind), self.key, "cpu", count, *self.extra)


class Writer(pickle._Pickler):
    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages: dict[str, Storage] = {}

    def persistent_id(self, value):
        if isinstance(value, Storage):
            self.storages[value.key] = value
            return value.identity()
        return None

    def save_ref(self, ref):
        module, _, name = ref.name.rpartition(".")
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(b"c%s\n%s\n" % (module.encode(), name.encode()))
        self.memoize(ref)

    def save_call(self, call):
        self.save_reduce(Ref(call.name), call.args, call.state, obj=call)

    dispatch[Ref] = save_ref
    dispatch[Call] = save_call


def dumps(value: Any, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Writer(file, protocol).dump(value)
    return file.getvalue()


def zip_file(
    value: Any,
    protocol: int = 2,
    byteorder: str | None = "little",
    compression: int = zipfile.ZIP_STORED,
    root: str = "archive",
    without: str = "",
) -> bytes:
    """A file of torch.save in the zip format, without one of its entries if asked."""
    file, pickled = io.BytesIO(), io.BytesIO()
    writer = Writer(pickled, protocol)
    writer.dump(value)
    entries = {"data.pkl": pickled.getvalue(), "version": b"3\n"}
    if byteorder:
        entries["byteorder"] = byteorder.encode()
    for key, storage in writer.storages.items():
        swap = byteorder == "big"
        entries[f"data/{key}"] = (storage.values.byteswap() if swap else storage.values).tobytes()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in entries.items():
            if name != without:
                archive.writestr(f"{root}/{name}", data)
    return file.getvalue()


def legacy_file(value: Any, protocol: int = 2, keys: list | None = None) -> bytes:
    """A file of torch.save in the format before PyTorch 1.6."""
    file = io.BytesIO()
    for head in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(head, file, protocol)
    writer = Writer(file, protocol)
    writer.dump(value)
    pickle.dump(list(writer.storages) if keys is None else keys, file, protocol)
    for storage in writer.storages.values():
        file.write(storage.values.size.to_bytes(8, "little") + storage.values.tobytes())
    return file.getvalue()


def tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *bits: Any) -> Call:
    hooks = Call("collections.OrderedDict", ())
    args = (storage, offset, size, stride, False, hooks, *bits)
    return Call("torch._utils._rebuild_tensor_v2", args)


def whole_tensor(values: np.ndarray, key: str = "0") -> Call:
    stride = tuple(s // values.itemsize for s in values.strides)
    return tensor(Storage(values.ravel(order="K"), key), 0, values.shape, stride)


@pytest.fixture(scope="session")
def write() -> SimpleNamespace:
    """The functions and classes above."""
    return SimpleNamespace(
        Ref=Ref,
        Call=Call,
        Storage=Storage,
        dumps=dumps,
        zip_file=zip_file,
        legacy_file=legacy_file,
        tensor=tensor,
        whole_tensor=whole_tensor,
    )


@pytest.fixture
def stored(tmp_path):
    """Puts bytes into a file and returns its path."""

    def store(content: bytes, name: str = "file.pkl"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return store
