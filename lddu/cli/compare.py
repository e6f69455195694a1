"""`lddu compare`: runs side by side."""

from typing import Annotated

from tyro.conf import Positional, arg


def compare(
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN RUN ...")]],
    resamples: int = 1000,
    level: float = 0.95,
    markdown: bool = False,
) -> None:
    """Compares finished runs on the same test samples, each with the first one.

    Example: lddu compare runs/demo runs/demo:logistic

    Args:
      runs: Run folders; "folder:model" chooses another model than the run's main one.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the intervals.
      markdown: Whether to print Markdown tables.
    """
    from lddu.runs import comparison

    contestants = comparison.compare(runs, resamples, level)
    print(comparison.format_comparison(contestants, level, markdown))
