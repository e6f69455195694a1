"""The command `lddu`.

lddu compare RUN RUN ...     runs side by side, with paired bootstrap intervals
lddu export RUN OUT          a run's model as one file that runs without this library
"""

import sys
from collections.abc import Sequence

try:
    import tyro
except ImportError as error:
    raise ImportError("the command `lddu` needs tyro: pip install 'lddu[cli]'") from error

from lddu.cli import compare, export

_COMMANDS = {"compare": compare.compare, "export": export.export}


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command; errors about the input end with a message instead of a traceback.

    Args:
      args: The words after `lddu`; None for those of this process.
    """
    try:
        tyro.extras.subcommand_cli_from_dict(_COMMANDS, prog="lddu", description=__doc__, args=args)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"lddu: {error}")
