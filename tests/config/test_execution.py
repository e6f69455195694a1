import pytest

from lddu.config import ExecutionConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "flash"}, "execution: attention='flash'; choose from .*'cudnn'"),
        ({"dtype": "float16"}, "execution: dtype='float16'; choose from .*'bfloat16'"),
        ({"parallel_members": "yes"}, "parallel_members='yes'; choose from .*'never'"),
        ({"steps_per_dispatch": 0}, "execution: steps_per_dispatch=0 must be at least 1"),
        ({"row_block": -1}, "execution: row_block=-1 is negative"),
        ({"devices": -1}, "execution: devices=-1 is negative"),
    ],
)
def test_wrong_values_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ExecutionConfig(**settings)
