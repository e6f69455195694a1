"""Writing files so that a reader, or a killed process, never sees half of one."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and moves what was written there into place.

    The caller makes a file or a folder at the temporary path. On success it takes the name `path`
    in one step; an older file there is replaced, an older folder set aside and then removed. On an
    exception, nothing changes at `path` and the temporary files are removed.

    Args:
      path: The file or folder to write. Its parent folder is created if it does not exist.

    Yields:
      A path that does not exist yet, in the same file system.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with atomic_path(f"{folder}/note.txt") as partial:
      ...         _ = partial.write_text("whole")
      ...     pathlib.Path(folder, "note.txt").read_text()
      'whole'
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        partial = folder / path.name
        yield partial
        if partial.is_dir() and path.exists():
            _replace_folder(partial, path, folder / "replaced")
        else:
            partial.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace_folder(new: Path, path: Path, aside: Path) -> None:
    """Moves a folder to where another one is, which is set aside; on an exception it is put back.

    A folder cannot be renamed over another.
    """
    try:
        path.rename(aside)
        new.replace(path)
    except BaseException:
        if aside.exists() and not path.exists():
            aside.rename(path)
        raise


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Writes a UTF-8 text file in one step, and returns its absolute path."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path).absolute()
