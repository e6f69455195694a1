"""Locates the raw studyforrest files: a local copy, or a download of the pinned upstream commits.

Emotion annotations: Labs et al., 2015, https://doi.org/10.12688/f1000research.6230.1. The files are
in the public domain (CC0 / PDDL); they are fetched, never shipped.
"""

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

from tqdm import tqdm

from lddu.data.studyforrest.checksums import SHA256
from lddu.files import atomic_path

UPSTREAM = "https://raw.githubusercontent.com/psychoinformatics-de"
# Folder of the data -> (repository, commit, folder in the repository).
_PAPER = ("studyforrest-paper-emotionannotation", "fb51348a8e12e5680da5053b1b42f02f3cd56178")
_ANNOTATIONS = ("studyforrest-data-annotations", "155097f944f9dc5a8790dd9148016508ab8b18ad")
_SOURCES = {
    "emotions": (*_PAPER, "data/raw"),
    "segments/avmovie": (*_ANNOTATIONS, "segments/avmovie"),
    "speech": (*_ANNOTATIONS, "old/speech"),
    "structure": (*_ANNOTATIONS, "old/structure"),
}
_TIMEOUT = 60  # seconds to wait for an answer


def locate(path: str | Path | None = None) -> Path:
    """Returns the folder with the raw files, each checked against its SHA-256.

    Args:
      path: The folder, or one that holds it as `studyforrest/`. None takes either of the two from
        the environment variable `LDDU_DATA`; without that variable, the user's cache, into which
        missing files are downloaded.

    Returns:
      The folder with `emotions/`, `segments/`, `speech/` and `structure/`.

    Raises:
      FileNotFoundError: If a local copy lacks a file, naming it.
      ValueError: If a file's checksum is wrong, naming it.
      ConnectionError: If a download is needed and fails, naming the address.
    """
    path = path or os.environ.get("LDDU_DATA")
    if not path:
        return download()
    root = Path(path).expanduser()
    if (root / "studyforrest").is_dir():
        root = root / "studyforrest"
    for name, expected in SHA256.items():
        if not (root / name).is_file():
            raise FileNotFoundError(
                f"studyforrest: there is no {name} in {root}; complete the copy with "
                f"lddu.data.studyforrest.download({str(root)!r})"
            )
        found = _sha256((root / name).read_bytes())
        if found != expected:
            raise ValueError(
                f"studyforrest: {root / name} has SHA-256 {found}, expected {expected}; it is "
                "damaged, or another version of the file"
            )
    return root


def cache_folder() -> Path:
    """Returns where `download` puts files by default: `$XDG_CACHE_HOME/lddu/studyforrest`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lddu" / "studyforrest"


def upstream_url(name: str, base_url: str = UPSTREAM) -> str:
    """Returns the address of a raw file, by its path below the data folder."""
    folder, _, file = name.rpartition("/")
    return "/".join((base_url.rstrip("/"), *_SOURCES[folder], file))


def download(
    folder: str | Path | None = None, base_url: str = UPSTREAM, progress: bool = True
) -> Path:
    """Downloads the raw files (20 MB) that are missing or damaged in a folder.

    A file appears under its name only when it is complete and its checksum is right, so that an
    interrupted download is resumed by calling again.

    Args:
      folder: Destination; None takes `cache_folder()`.
      base_url: Address of the GitHub organisation's raw files, or of a mirror with the same paths.
      progress: Whether to show a progress bar if there is something to download.

    Returns:
      The folder.

    Raises:
      ConnectionError: If a file cannot be fetched, naming its address.
      ValueError: If a downloaded file has the wrong checksum, naming its address.
    """
    root = Path(folder).expanduser() if folder is not None else cache_folder()
    missing = [name for name, sha in SHA256.items() if not _is_good(root / name, sha)]
    bar = tqdm(missing, "studyforrest", unit="file", disable=not (progress and missing))
    for name in bar:
        url = upstream_url(name, base_url)
        content = _fetch(url, SHA256[name])
        with atomic_path(root / name) as partial:
            partial.write_bytes(content)
    return root


def _fetch(url: str, sha256: str) -> bytes:
    """Returns the content at an address, its checksum verified."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            content = response.read()
    # A connection cut half-way raises IncompleteRead, an HTTPException but not an OSError.
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"studyforrest: cannot fetch {url}: {error}. Without a network, copy the files from "
            "another machine and set LDDU_DATA to their folder"
        ) from error
    found = _sha256(content)
    if found != sha256:
        raise ValueError(
            f"studyforrest: {url} has SHA-256 {found}, expected {sha256}; it was not kept"
        )
    return content


def _is_good(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path.read_bytes()) == sha256


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
