"""The command `lddu`.

lddu compare RUN RUN ...     runs side by side, with paired bootstrap intervals
"""

import sys
from collections.abc import Sequence

from lddu import comparison

try:
    import tyro
except ImportError as error:
    raise ImportError("the command `lddu` needs tyro: pip install 'lddu[cli]'") from error


def compare(
    runs: tyro.conf.Positional[tuple[str, ...]],
    resamples: int = 1000,
    level: float = 0.95,
    markdown: bool = False,
) -> None:
    """Compares finished runs on the same test samples, each with the first one.

    Args:
      runs: Run folders; "folder:model" chooses another model than the calibrated ensemble.
      resamples: Bootstrap resamples.
      level: Of the intervals.
      markdown: Whether to print Markdown tables.
    """
    contestants = comparison.compare(runs, resamples, level)
    print(comparison.format_comparison(contestants, level, markdown))


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; errors about the input end with a message instead of a traceback."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"compare": compare}, prog="lddu", description=__doc__, args=args
        )
    except (ValueError, OSError) as error:
        sys.exit(f"lddu: {error}")


if __name__ == "__main__":
    main()
