"""Checksums of the files of a folder, which tell whether any of them has changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def checksums(folder: Path) -> dict[str, str]:
    """Computes the SHA-256 of every file below a folder.

    Args:
      folder: The folder.

    Returns:
      Path below the folder, with forward slashes -> SHA-256 in hexadecimal.
    """
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            sums[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return sums


def check_unchanged(folder: Path, expected: Mapping[str, str]) -> None:
    """Raises ValueError if a file below a folder is missing, new or has another content.

    Args:
      folder: The folder.
      expected: What `checksums` returned for it before.
    """
    found = checksums(folder)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            what = "has changed" if name in found and name in expected else "is new"
            raise ValueError(f"{folder / name} {what if name in found else 'is missing'}")
