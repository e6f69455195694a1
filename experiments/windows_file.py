"""Where the experiments find the fixed benchmark file of studyforrest."""

import os
from pathlib import Path


def windows_file(path: Path | None = None) -> Path:
    """Returns the path of `windows.npz`, or ends the program if it is not there.

    Args:
      path: The file or its folder; None looks for `studyforrest/windows.npz` in the folder that the
        environment variable LDDU_DATA names.
    """
    path = path or Path(os.environ.get("LDDU_DATA", ".")) / "studyforrest"
    file = path / "windows.npz" if path.is_dir() else path
    if not file.is_file():
        raise SystemExit(
            f"there is no {file}. Say where windows.npz is with the option for its folder or with "
            "the environment variable LDDU_DATA; `studyforrest.py --source raw --text minilm` "
            "makes the same windows from the raw files"
        )
    return file
