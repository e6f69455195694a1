"""Saved files with wrong content: every part of a valid file replaced, one at a time."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest

# Texts that stand in place of a JSON value.
VALUES = {
    **{"null": "null", "true": "true", "text": '"ünknown"', "empty text": '""', "zero": "0"},
    **{"negative": "-1", "fraction": "2.5", "list": "[]", "object": "{}", "NaN": "NaN"},
    **{"infinity": "-Infinity", "overflow": "1e999", "large": "1e308", "digits": "9" * 5000},
    **{"huge": "1" + "0" * 30, "twice": '{"a": 1, "a": 2}', "nested": "[" * 60 + "]" * 60},
    **{"deep list": "[" * 10_000 + "]" * 10_000, "deep object": '{"a":' * 10_000},
}
MARK = "\N{SNOWMAN}"


def nodes(value, path=()):
    """Yields the path of every value in a JSON tree; of a list's items, the last one's."""
    yield path
    below = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and value:
        below = [(len(value) - 1, value[-1])]
    for key, inner in below:
        yield from nodes(inner, (*path, key))


def edited(value, path, change):
    """A copy of a JSON tree, in which `change` was called with the parent and key of a value."""
    copied = json.loads(json.dumps([value]))
    parent, key = copied, 0
    for name in path:
        parent, key = parent[key], name
    change(parent, key)
    return copied[0] if copied else None


def json_mutations(content, values, below):
    """Yields (path, what was done, text) for a text of JSON and each change below a key."""
    tree = json.loads(content)
    for path in nodes(tree):
        if below and path[:1] != (below,):
            continue
        marked = json.dumps(edited(tree, path, lambda parent, key: parent.__setitem__(key, MARK)))
        for name, text in values.items():
            yield path, name, marked.replace(json.dumps(MARK), text).encode()
        if path:
            dropped = edited(tree, path, lambda parent, key: parent.__delitem__(key))
            yield path, "missing", json.dumps(dropped).encode()

        def more(parent, key):
            inner = parent[key]
            if isinstance(inner, dict):
                inner["unknown"] = 1
            elif isinstance(inner, list):
                inner += inner[:1] or [1]
            else:
                parent[key] = [inner]

        yield path, "more", json.dumps(edited(tree, path, more)).encode()


def byte_mutations(content):
    """Yields (what was done, content) for damage that knows nothing of the format."""
    for share in (0, 0.02, 0.3, 0.7, 0.98):
        yield f"cut at {share}", content[: int(share * len(content))]
    yield "one byte less", content[:-1]
    yield "invalid UTF-8", b"\xff\xfe" + content
    yield "another encoding", content[:200].decode("latin-1").encode("utf-16")
    yield "binary", bytes(range(256)) * 8
    yield "zeros", bytes(1000)
    yield "pickle", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02e."
    yield "end of an archive", b"PK\x05\x06" + bytes(18)


def array_mutations(arrays):
    """Yields (what was done, content) for an archive of arrays and changes of three of them."""
    names = sorted(arrays)
    for name in dict.fromkeys([names[0], names[len(names) // 2], names[-1]]):
        x = arrays[name]
        others = {k: v for k, v in arrays.items() if k != name}
        yield f"{name} missing", archive(others)
        changes = {
            "flat": x.reshape(-1)[None, None],
            "no rows": x.reshape(-1)[:0],
            "a scalar": np.zeros((), x.dtype),
            "bytes": np.zeros(x.shape, "S3"),
            "complex": np.zeros(x.shape, complex),
            "objects": np.full(x.shape, None),
            "records": np.zeros(x.shape, [("a", "f4")]),
            "wider": np.zeros(x.shape, "i8" if x.dtype == float else float),
            "NaN": np.full(x.shape, np.nan, x.dtype if x.dtype.kind == "f" else float),
        }
        for what, other in changes.items():
            yield f"{name} {what}", archive({**others, name: other})
        for shape in ((1 << 40,), (1 << 62, 4), (-1,), (10**30,)):
            yield f"{name} claims {shape}", archive(others, {name: header(shape, x.dtype)})
        yield f"{name} no array", archive(others, {name: b"text"})
    yield "twice", archive(arrays, {name: npy(x)})
    yield "another array", archive({**arrays, "more": np.zeros(3)})
    bomb = header((1 << 22,), np.dtype("u1")) + bytes(1 << 22)
    yield "a bomb", archive({k: v for k, v in arrays.items() if k != name}, {name: bomb})


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape, dtype):
    """The start of an `.npy` file."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(arrays, members=None):
    """An `.npz` file of arrays, and of members with any content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that are there twice
        for name, content in ((k, npy(v)) for k, v in arrays.items()):
            file.writestr(f"{name}.npy", content)
        for name, content in (members or {}).items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


class Reads:
    """Collects how a reader takes damaged files: it may raise ValueError and OSError alone."""

    def __init__(self, read, *names):
        self.read, self.names, self.refused, self.wrong = read, names, 0, []

    def __call__(self, what, *mentioned):
        """Reads once; an error must name a file, and one of `mentioned` if there are any."""
        try:
            self.read()
        except (ValueError, OSError) as error:
            text = str(error)
            self.refused += 1
            if not any(name in text for name in self.names):
                self.wrong.append((what, f"names no file: {text[:300]}"))
            elif mentioned and not any(name in text for name in mentioned):
                self.wrong.append((what, f"names no field: {text[:300]}"))
            elif len(text) > 2000:
                self.wrong.append((what, f"{len(text)} characters"))
        except Exception as error:
            self.wrong.append((what, f"{type(error).__name__}: {error}"[:300]))

    def check(self, at_least):
        """Fails if any read ended in another way, or fewer files were refused than expected."""
        assert not self.wrong, "\n".join(map(str, self.wrong[:20]))
        assert self.refused >= at_least


@pytest.fixture
def read_damaged():
    """read_damaged(read, path, at_least): reads a file in every damaged form; puts it back.

    `names` are what an error may name in place of the file; `values` those to put into a JSON file,
    by name, and `below` the key whose values to replace alone. At least `at_least` of the damaged
    files must be refused.
    """

    def damaged(read, path, at_least, names=(), values=VALUES, below=None):
        whole = path.read_bytes()
        reads = Reads(read, path.name, *names)
        reads("as it was")
        assert not reads.refused, "the file itself is not read"
        if path.suffix == ".json":
            for where, what, content in json_mutations(whole, values, below):
                path.write_bytes(content)
                # The whole text is at fault where it cannot be parsed.
                keys = [key for key in where if isinstance(key, str)]
                parsed = what not in ("deep list", "deep object", "digits", "twice")
                reads((where, what), *([*keys, *names] if parsed and keys else ()))
        changes = list(byte_mutations(whole))
        if path.suffix == ".npz":
            with np.load(path) as file:
                changes += array_mutations(dict(file))
        for what, content in changes:
            path.write_bytes(content)
            reads(what)
        path.unlink()
        reads("missing")
        path.unlink(missing_ok=True)  # some readers write it anew
        path.mkdir()
        reads("a folder")
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)
        reads.check(at_least)

    return damaged
