"""Files that try to run something: each is refused by name, and nothing has happened."""

import builtins
import copyreg
import functools
import importlib
import itertools
import operator
import os
import pickle
import runpy
import subprocess
import sys

import numpy as np
import pytest

from lddu.data.formats import UnsafePickleError, load_pickle, load_torch


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function, *args):
        self.pair = function, args

    def __reduce__(self):
        return self.pair

    def __call__(self):
        raise NotImplementedError("only here because a pickler asks for something callable")


def touching(path) -> str:
    return f"open({str(path)!r}, 'w').close()"


# The first forbidden name -> an object whose unpickling makes the file `path`.
LIVE = {
    f"{os.system.__module__}.system": lambda path: Calls(os.system, f"touch {path}"),
    "builtins.eval": lambda path: Calls(eval, touching(path)),
    "builtins.exec": lambda path: Calls(exec, touching(path)),
    "io.open": lambda path: Calls(open, str(path), "w"),
    "subprocess.call": lambda path: Calls(subprocess.call, ["touch", str(path)]),
    "subprocess.check_output": lambda path: Calls(subprocess.check_output, ["touch", str(path)]),
    "runpy._run_code": lambda path: Calls(runpy._run_code, touching(path), {}),
    "builtins.getattr": lambda path: Calls(
        Calls(getattr, Calls(importlib.import_module, "os"), "system"), f"touch {path}"
    ),
    "functools.partial": lambda path: Calls(functools.partial(os.system, f"touch {path}")),
    "operator.methodcaller": lambda path: Calls(operator.methodcaller("touch"), path),
    "operator.attrgetter": lambda path: Calls(Calls(operator.attrgetter("touch"), path)),
    "_pickle.loads": lambda path: Calls(pickle.loads, pickle.dumps(Calls(open, str(path), "w"))),
    "itertools.starmap": lambda path: Calls(
        list, Calls(itertools.starmap, eval, [(touching(path),)])
    ),
    "numpy.testing._private.utils.runstring": lambda path: Calls(
        np.testing._private.utils.runstring, touching(path), {}
    ),
}


@pytest.mark.parametrize("load", [load_pickle, load_torch])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", LIVE)
def test_refuses_live_attacks(tmp_path, name, protocol, load):
    sentinel, path = tmp_path / "sentinel", tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(["data", LIVE[name](sentinel)], protocol))
    # Protocols below 3 write the modules of Python 2.
    expected = repr(name) if protocol > 2 else "." + name.rpartition(".")[2] + "'"
    with pytest.raises(UnsafePickleError, match=r"file\.pkl") as refused:
        load(path)
    assert expected in str(refused.value)
    assert not sentinel.exists()


@pytest.mark.parametrize("name", LIVE)
def test_the_attacks_are_live(tmp_path, name):
    sentinel = tmp_path / "sentinel"
    pickle.loads(pickle.dumps(LIVE[name](sentinel)))
    assert sentinel.exists()


FORBIDDEN = (
    *("os.system", "posix.system", "nt.system", "subprocess.Popen", "runpy.run_path"),
    *("builtins.getattr", "builtins.setattr", "builtins.__import__", "builtins.open"),
    *("builtins.type", "builtins.object", "builtins.compile", "builtins.globals", "builtins.vars"),
    *("__builtin__.eval", "__builtin__.apply", "functools.partial", "functools.reduce"),
    *(
        "operator.attrgetter",
        "operator.itemgetter",
        "copyreg._reconstructor",
        "copy_reg.__newobj__",
    ),
    *("copyreg.add_extension", "types.FunctionType", "types.CodeType", "marshal.loads"),
    *(
        "importlib.import_module",
        "ctypes.CDLL",
        "socket.socket",
        "shutil.rmtree",
        "webbrowser.open",
    ),
    *("numpy.load", "numpy.core.multiarray.fromfile", "numpy.ctypeslib.load_library"),
    *("numpy.matrix", "numpy.recarray", "numpy.ma.core._mareconstruct", "numpy.vectorize"),
    *("numpy.lib.npyio.load", "numpy.f2py.crackfortran.myeval", "numpy.ndarray.tofile"),
    *("numpy.memmap", "numpy.core._internal._ctypes", "numpy.core.multiarray.frombuffer"),
    *("torch.load", "torch.hub.load", "torch.storage._load_from_bytes.x", "torch.jit.load"),
    *("torch.nn.modules.linear.Linear", "torch._utils._rebuild_sparse_tensor"),
    *("collections.Counter", "collections.OrderedDict.__init__", "_codecs.decode", "codecs.encode"),
    *("os.path.os.system", "builtins.list.__class__", "lddu.data.formats.load_pickle"),
)


@pytest.mark.parametrize("load", [load_pickle, load_torch])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", FORBIDDEN)
def test_refuses_every_other_name(stored, write, name, protocol, load):
    # Even without a call: nothing is looked up.
    with pytest.raises(UnsafePickleError) as refused:
        load(stored(write.dumps([write.Ref(name)], protocol)))
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"cos\nsystem\n(S'true'\nt\x81.",  # NEWOBJ
        b"cos\nsystem\n)}\x92.",  # NEWOBJ_EX
        b"\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x8c\x00\x8c\x09os.system\x93.",  # STACK_GLOBAL without a module
    ],
)
def test_refuses_every_opcode_that_names_something(stored, content):
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        load_pickle(stored(content))


def test_a_dotted_name_is_not_followed(stored):
    # Protocol 4 lets pickle go from module to attribute to attribute.
    with pytest.raises(UnsafePickleError, match=r"collections\._sys\.modules"):
        load_pickle(stored(b"\x8c\x0bcollections\x8c\x0c_sys.modules\x93."))


def test_refusing_imports_nothing(tmp_path, stored, monkeypatch):
    sentinel = tmp_path / "sentinel"
    (tmp_path / "lddu_hostile_module.py").write_text(touching(sentinel))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsafePickleError, match=r"lddu_hostile_module\.run"):
        load_pickle(stored(b"clddu_hostile_module\nrun\n."))
    assert "lddu_hostile_module" not in sys.modules
    assert not sentinel.exists()


def test_refuses_the_extension_registry(tmp_path, stored, monkeypatch):
    # pickle takes an extension from this cache without asking `find_class`.
    monkeypatch.setitem(copyreg._extension_cache, 200, os.system)
    sentinel = tmp_path / "sentinel"
    call = b"(S'touch %s'\ntR." % str(sentinel).encode()
    for code in (b"\x82\xc8", b"\x83\xc8\x00", b"\x84\xc8\x00\x00\x00"):
        with pytest.raises(UnsafePickleError, match="copyreg extension 200"):
            load_pickle(stored(code + call))
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "target",
    [
        b"c_codecs\nencode\n",
        b"cbuiltins\nset\n",
        b"ccollections\nOrderedDict\n",
        b"cnumpy\nndarray\n",
        b"]",
        b"}",
        b"\x8f",
        b"K\x01",
        b"N",
    ],
)
@pytest.mark.parametrize("state", [b"}S'x'\nK\x01s", b"N}S'x'\nK\x01s\x86"])
def test_refuses_to_set_attributes(stored, target, state):
    before = dict(vars(builtins))
    with pytest.raises(UnsafePickleError, match="asks to set attributes"):
        load_pickle(stored(target + state + b"b."))
    assert dict(vars(builtins)) == before


def test_attributes_of_an_ordered_dict_are_dropped(stored):
    found = load_pickle(stored(b"ccollections\nOrderedDict\n)R}S'clear'\nK\x01sb."))
    assert found == {}
    assert callable(found.clear)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("collections.defaultdict", ("builtins.list",), "defaultdict"),
        ("collections.defaultdict", ("{builtins.range}",), r"builtins\.range"),
        ("collections.defaultdict", ("{numpy.ndarray}",), r"numpy\.ndarray"),
        ("numpy.core.multiarray._reconstruct", ("{builtins.list}", (0,), b"b"), r"builtins\.list"),
        ("numpy.core.multiarray._reconstruct", ("numpy.ndarray", (0,), b"b"), "_reconstruct"),
        ("numpy.dtype", ("f8,O",), r"numpy\.dtype"),
        ("numpy.dtype", ([("a", "O")],), r"numpy\.dtype"),
        ("numpy.dtype", ({"names": ["a"], "formats": ["O"]},), r"numpy\.dtype"),
        ("numpy.dtype", ("{numpy.ndarray}",), r"numpy\.ndarray"),
        ("numpy.ndarray", ((3,),), r"numpy\.ndarray"),
        ("builtins.int", ("1",), r"builtins\.int"),
    ],
)
def test_refuses_allowed_names_with_hostile_arguments(stored, write, name, args, message):
    # "{name}" is a reference to the name, without braces it is text.
    args = tuple(write.Ref(a[1:-1]) if type(a) is str and a[0] == "{" else a for a in args)
    with pytest.raises(UnsafePickleError, match=message):
        load_pickle(stored(write.dumps(write.Call(name, args))))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("builtins.set", (range(3),)),
        ("builtins.list", (range(10**12),)),
        ("builtins.bytearray", (10**12,)),
        ("builtins.bytes", (10**12,)),
        ("builtins.tuple", ("text",)),
        ("builtins.complex", ("1",)),
        ("_codecs.encode", ("abc", "rot13")),
        ("_codecs.encode", (5, "latin1")),
        ("collections.OrderedDict", (5,)),
        ("builtins.range", ("a", "b")),
    ],
)
def test_wrong_arguments_are_an_error(stored, write, name, args):
    with pytest.raises(ValueError, match=r"file\.pkl cannot be read"):
        load_pickle(stored(write.dumps(write.Call(name, args))))


def test_control_characters_of_a_name_do_not_reach_the_terminal(stored):
    with pytest.raises(UnsafePickleError) as refused:
        load_pickle(stored(b"c\x1b[2Jos\nsystem\n."))
    assert "\x1b" not in str(refused.value)
