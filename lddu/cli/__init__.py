"""The command `lddu`: one verb per file, each imported only when it is called.

`VERBS` maps what is typed to the function that does it; tyro reads the options from the function's
signature and docstring.
"""

import difflib
import importlib
import sys
from collections.abc import Sequence

VERBS = {
    "demo": "train on synthetic data whose exact posterior is known, and write a report",
    "data card": "describe a data set: samples, labels, modalities, what was repaired",
    "data check": "read a data set and say what is wrong with it",
    "data split": "divide a table into train, valid and test, by group and stratified",
    "train": "train on a data set, calibrate, score, write a run folder; continues a killed run",
    "evaluate": "score a run's model on other data, with intervals",
    "predict": "write probabilities, decisions and uncertainty for a data set",
    "calibrate": "calibrate a run's model again, or any model's table of probabilities",
    "conformal": "fit label sets with a guaranteed error rate to a table of probabilities",
    "compare": "runs side by side, with paired bootstrap intervals",
    "report": "write the report of a finished run again, and a page to explore its samples",
    "export": "write a run's model as one file that runs without this library",
    "convert": "turn the published model's weights into a model of this library, or back",
}
"""Verb -> what it does. The verb "data card" is the function `card` of `lddu.cli.data`."""


class Stopped(Exception):
    """The user stopped a command; the message says what was kept and how to go on."""


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command; errors about the input end with a message instead of a traceback.

    Exit codes: 0 done, 1 something about the input was wrong, 2 the command was not understood,
    130 stopped by the user.

    Args:
      args: The words after `lddu`; None for those of this process.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return
    if words[0] == "--version":
        from lddu.version import __version__

        print(__version__)
        return
    verb = " ".join(words[:2] if _is_group(words[0]) else words[:1])
    if verb not in VERBS:
        _refuse(verb)
    try:
        _run(verb, words[len(verb.split()) :])
    except Stopped as stopped:
        print(f"\nlddu: {stopped}", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print("\nlddu: stopped", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"lddu: {error}")


def _run(verb: str, words: Sequence[str]) -> None:
    """Parses the words after a verb and calls its function."""
    try:
        import tyro
    except ImportError as error:
        raise ImportError("the command `lddu` needs tyro: pip install 'lddu[cli]'") from error

    module, *inner = verb.split()
    function = getattr(importlib.import_module(f"lddu.cli.{module}"), inner[0] if inner else module)
    tyro.cli(function, prog=f"lddu {verb}", args=words, config=(tyro.conf.OmitArgPrefixes,))


def _is_group(word: str) -> bool:
    return any(verb.startswith(f"{word} ") for verb in VERBS)


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb.ljust(width)}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: lddu VERB ...",
            "",
            *lines,
            "",
            "lddu VERB --help shows options and an example; lddu --version shows the version.",
        ]
    )


def _refuse(verb: str) -> None:
    """Ends with exit code 2 and the verbs that come close."""
    close = difflib.get_close_matches(verb, VERBS, n=3, cutoff=0.5)
    inside = [name for name in VERBS if name.startswith(f"{verb.split()[0]} ")]
    hint = f"; did you mean {' or '.join(inside or close)}?" if inside or close else ""
    print(f"lddu: there is no verb {verb!r}{hint}\n\n{_overview()}", file=sys.stderr)
    sys.exit(2)
