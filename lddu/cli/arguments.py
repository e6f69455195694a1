"""The arguments that several verbs have, under the names that the help shows."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Run = Positional[Annotated[Path, arg(metavar="RUN")]]
Data = Positional[Annotated[Path, arg(metavar="DATA")]]
Table = Positional[Annotated[Path, arg(metavar="TABLE")]]
Out = Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
MaybeData = Positional[Annotated[Path | None, arg(metavar="[DATA]")]]
MaybeFile = Annotated[Path | None, arg(metavar="FILE")]
