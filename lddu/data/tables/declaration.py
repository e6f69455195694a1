"""`dataset.json`: what the columns of a table and the files beside it are.

{
  "labels": ["joy", "anger"],
  "modalities": {
    "text": {"file": "text.npz"},
    "audio": {"column": "audio"},
    "face": {"column": "face", "features": 35},
    "context": {"columns": ["age", "tempo_*"]}
  }
}

Every key is optional. "id", "split", "group" and "weight" rename these columns, "table" names the
file of the table and "name" the data set. "labels" may also be
{"column": "emotions", "names": ["joy", "anger"], "separator": ";"}, and "hard" maps labels to
columns of hard labels where these do not follow from soft ones.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FILE = "dataset.json"


class Names(NamedTuple):
    """One column that names the labels of each row.

    Attributes:
      column: Name of the column.
      names: The labels, in the order wanted; None takes all that occur, sorted.
      separator: What stands between two names of a cell.
    """

    column: str
    names: tuple[str, ...] | None = None
    separator: str = ";"


class Source(NamedTuple):
    """Where the features of a modality are; exactly one of the first three is set.

    Attributes:
      column: Column of sequences, or of names of `.npy` files.
      file: File beside the table with the arrays of all rows.
      columns: Columns of numbers, which make up a single step; `*` and `?` match any text.
      features: Width of the modality; with it, flat arrays are cut into steps.
    """

    column: str | None = None
    file: str | None = None
    columns: tuple[str, ...] | None = None
    features: int | None = None


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What a table's columns are; None leaves a part to detection.

    Attributes:
      where: What errors call the declaration.
      labels: Names of the label columns, or the one column of names.
      hard: Label -> column of its hard labels.
      modalities: Name -> where its features are.
      id: Column of the ids.
      split: Column of the splits.
      group: Column of the groups.
      weight: Column of the weights.
      table: File name of the table.
      name: Name of the data set.
    """

    where: str = FILE
    labels: tuple[str, ...] | Names | None = None
    hard: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modalities: Mapping[str, Source] | None = None
    id: str | None = None
    split: str | None = None
    group: str | None = None
    weight: str | None = None
    table: str | None = None
    name: str | None = None


def read_declaration(path: Path) -> Declaration:
    """Reads a `dataset.json`; a file that does not exist declares nothing.

    Raises:
      ValueError: If the file is not JSON or declares something unknown.
    """
    if not path.exists():
        return Declaration()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON: {error}") from None
    return declare(content, path.name)


def declare(content: Any, where: str = "declaration") -> Declaration:
    """Checks the content of a `dataset.json`.

    Args:
      content: The content as plain dictionaries and lists.
      where: What errors call it.

    Returns:
      The declaration.

    Raises:
      ValueError: If a key or value is not of the form in the module's description, naming it.
    """
    content = _mapping(content, where, [f.name for f in dataclasses.fields(Declaration)][1:])
    texts = ("id", "split", "group", "weight", "table", "name")
    known = {k: _text(content[k], f"{where}: {k!r}") for k in texts if content.get(k) is not None}
    if content.get("labels") is not None:
        known["labels"] = _labels(content["labels"], f"{where}: 'labels'")
    if content.get("hard") is not None:
        hard = _mapping(content["hard"], f"{where}: 'hard'")
        known["hard"] = {k: _text(v, f"{where}: 'hard': {k!r}") for k, v in hard.items()}
    if content.get("modalities") is not None:
        modalities = _mapping(content["modalities"], f"{where}: 'modalities'")
        if not modalities:
            raise ValueError(f"{where}: 'modalities' is empty, expected at least one")
        known["modalities"] = {
            name: _source(value, f"{where}: modality {name!r}")
            for name, value in modalities.items()
        }
    return Declaration(where, **known)


def _labels(value: Any, where: str) -> tuple[str, ...] | Names:
    if not isinstance(value, Mapping):
        return _list(value, where)
    value = _mapping(value, where, Names._fields)
    if "column" not in value:
        raise ValueError(f"{where} needs 'column', the column that names the labels")
    names = None if value.get("names") is None else _list(value["names"], f"{where}: 'names'")
    separator = _text(value.get("separator", ";"), f"{where}: 'separator'")
    return Names(_text(value["column"], f"{where}: 'column'"), names, separator)


def _source(value: Any, where: str) -> Source:
    value = _mapping(value, where, Source._fields)
    if sum(key in value for key in ("column", "file", "columns")) != 1:
        raise ValueError(f"{where} needs exactly one of 'column', 'file' and 'columns'")
    features = value.get("features")
    if features is not None and (type(features) is not int or features < 1):
        raise ValueError(f"{where}: 'features' must be a whole number above 0, got {features!r}")
    if "columns" in value:
        return Source(columns=_list(value["columns"], f"{where}: 'columns'"), features=features)
    key = "column" if "column" in value else "file"
    return Source(**{key: _text(value[key], f"{where}: {key!r}")}, features=features)


def _mapping(value: Any, where: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is a {type(value).__name__}, expected a mapping")
    unknown = [key for key in value if known and key not in known]
    if unknown:
        raise ValueError(f"{where} has an unknown key {unknown[0]!r}; known are {list(known)}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} must be text, got {value!r:.80}")
    return value


def _list(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{where} must be a list of texts, got {value!r:.80}")
    texts = tuple(_text(item, f"{where}[{i}]") for i, item in enumerate(value))
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise ValueError(f"{where} has {twice[0]!r} twice")
    return texts
