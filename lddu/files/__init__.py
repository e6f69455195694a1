"""Files written in one step, and read back only if their content is what it must be."""

from lddu.files.arrays import Spec, read_npy, read_npz
from lddu.files.checksums import check_unchanged, checksums
from lddu.files.documents import damage_named, parse_json, read_json
from lddu.files.schema import converted
from lddu.files.writing import atomic_path, write_text

__all__ = [
    "Spec",
    "atomic_path",
    "check_unchanged",
    "checksums",
    "converted",
    "damage_named",
    "parse_json",
    "read_json",
    "read_npy",
    "read_npz",
    "write_text",
]
