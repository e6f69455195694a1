"""Data sets as named on a command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
