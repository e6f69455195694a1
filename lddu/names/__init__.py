"""Names of rows and labels: read from what carries them, matched, and put on results.

- `decorator`: `named`, which matches the arguments of a function by their names.
- `frames`: pandas, polars and xarray objects as arrays with names, and back.
- `matching`: the order in which names agree, or an error with both lists.
- `states`: fitted states that remember the names of their labels.
- `estimators`: the list of arrays that multi-output estimators of scikit-learn return.
"""

from lddu.names.decorator import named
from lddu.names.frames import Names
from lddu.names.matching import positions

__all__ = ["Names", "named", "positions"]
