"""Named arrays of three libraries, where they are installed; pandas comes with the tests."""

import numpy as np
import pytest

ROWS = tuple(f"r{i}" for i in range(24))


class Pandas:
    """DataFrames and Series with an index."""

    indexed = True

    def __init__(self):
        self.library = pytest.importorskip("pandas")

    def table(self, values, columns, rows=ROWS):
        return self.library.DataFrame(values, index=list(rows), columns=list(columns))

    def vector(self, values, names):
        return self.library.Series(values, index=list(names))


class Polars:
    """DataFrames, whose columns alone have names."""

    indexed = False

    def __init__(self):
        self.library = pytest.importorskip("polars")

    def table(self, values, columns, rows=ROWS):
        return self.library.DataFrame(np.asarray(values), schema=list(columns), orient="row")


class Xarray:
    """DataArrays with named dimensions and coordinates."""

    indexed = True

    def __init__(self):
        self.library = pytest.importorskip("xarray")

    def table(self, values, columns, rows=ROWS):
        coords = {"sample": list(rows), "label": list(columns)}
        return self.library.DataArray(values, dims=("sample", "label"), coords=coords)

    def vector(self, values, names):
        dim = "sample" if len(names) == len(ROWS) else "label"
        return self.library.DataArray(values, dims=(dim,), coords={dim: list(names)})


@pytest.fixture(params=[Pandas, Polars, Xarray], ids=lambda kind: kind.__name__.lower())
def frames(request):
    return request.param()
