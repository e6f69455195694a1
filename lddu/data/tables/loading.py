"""`load_table`: a table on disk, with its declaration and the files beside it, to a `Dataset`."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lddu.data.card import read_source
from lddu.data.dataset import Dataset
from lddu.data.tables.building import Options, build
from lddu.data.tables.declaration import FILE, Declaration, declare, read_declaration
from lddu.data.tables.table import Table

_LONGEST = 1 << 27  # characters of one cell of a CSV file


def load_table(
    path: str | os.PathLike,
    declaration: Mapping[str, Any] | None = None,
    *,
    steps: int | Mapping[str, int] | None = None,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Dataset:
    """Loads a data set of one's own: a CSV or Parquet table and the features it names.

    The table has a column `id` of unique texts, `split` (train, valid or test), one column per
    label (0 or 1, a number between, votes such as "2/3", or empty where unknown), and optionally
    `group` and `weight`. Modalities are columns of `.npy` file names or of lists, or files `.npz`,
    `.h5` or `.safetensors` beside the table. A file `dataset.json` beside it says what is what;
    without it, the rules of `lddu.data.tables.detection` decide.

    Args:
      path: The table (`.csv`, `.tsv` or `.parquet`), or a folder with only one.
      declaration: The content of `dataset.json`, in place of the file.
      steps: Longest sequence wanted, for all modalities or by name; further steps are cut and
        counted on the card. None keeps all.
      shares: Shares of train, valid and test, such as (0.8, 0.1, 0.1), for a table without the
        column `split`; see `lddu.data.split`.
      seed: Seed of that division.
      progress: Whether to show progress bars for large files.

    Returns:
      The three splits, with hard labels in `batch`, soft ones in `soft` if any label is neither 0
      nor 1, NaN where a label is unknown, and a card.

    Raises:
      FileNotFoundError: If `path` does not exist.
      ImportError: If the package for a file is not installed.
      ValueError: If anything does not fit, naming file, row and column.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    folder = path if path.is_dir() else path.parent
    declared = read_declaration(folder / FILE) if declaration is None else declare(declaration)
    if path.is_dir():
        path = choose(folder, declared)
    files = [path] + ([folder / FILE] if declaration is None and (folder / FILE).exists() else [])
    sources = [read_source(file, progress=progress) for file in files]
    return build(read_table(path), declared, Options(steps, shares, seed, progress), sources)


def read_table(path: Path) -> Table:
    """Reads the columns of a CSV, TSV or Parquet file.

    Raises:
      ValueError: If the file is damaged or of another kind, naming file and line.
    """
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise ValueError(f"{path.name}: unknown suffix; known are {', '.join(_READERS)}")
    return _READERS[kind](path)


def choose(folder: Path, declaration: Declaration) -> Path:
    """Returns the table of a folder; ValueError lists the tables unless there is one."""
    if declaration.table is not None:
        path = folder / declaration.table
        if not path.is_file() or path.resolve().parent != folder.resolve():
            raise ValueError(f"{declaration.where}: 'table': no file {declaration.table!r} here")
        return path
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in _READERS)
    if len(tables) != 1:
        names = ", ".join(file.name for file in tables) or "none"
        raise ValueError(
            f"{folder}: expected one table ({', '.join(_READERS)}), there are: {names}"
            + ("; name the one to read in place of the folder" if tables else "")
        )
    return tables[0]


def _read_csv(path: Path) -> Table:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    limit = csv.field_size_limit(_LONGEST)
    lines: list[int] = []
    rows: list[list[str]] = []
    header: list[str] | None = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for cells in reader:
                if not cells:
                    continue  # an empty line
                if header is None:
                    header = cells
                    _check_header(path.name, header)
                    continue
                if len(cells) != len(header):
                    raise ValueError(
                        f"{path.name}, line {reader.line_num}: {len(cells)} cells, but the header "
                        f"has {len(header)}"
                    )
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text: {error}") from None
    finally:
        csv.field_size_limit(limit)
    if header is None:
        raise ValueError(f"{path.name} is empty")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    named = {name: list(cells) for name, cells in zip(header, columns, strict=True)}
    return Table(path.name, named, len(rows), path.parent, lines)


def _check_header(file: str, names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{file}: two columns are called {twice[0]!r}")
    if len(names) == 1 and ";" in names[0]:
        raise ValueError(f"{file}: cells are separated by semicolons; write commas, or a .tsv file")


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # As one file: a folder above it called "key=value" is no column.
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is not a readable Parquet file: {error!s:.200}") from None
    _check_header(path.name, table.column_names)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Table(path.name, columns, table.num_rows, path.parent)


_READERS = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
