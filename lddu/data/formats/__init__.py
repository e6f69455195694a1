"""File formats of published feature sets, read as data: no file can run anything.

- `load_pickle`: Python pickles of arrays and containers.
- `load_torch`: files of `torch.save`, without PyTorch.
- `UnsafePickleError`: raised when a file asks for more than data.
"""

from lddu.data.formats.objects import UnsafePickleError
from lddu.data.formats.pickles import load_pickle
from lddu.data.formats.torch_files import load_torch

__all__ = ["UnsafePickleError", "load_pickle", "load_torch"]
