import numpy as np
import pytest

from lddu.data.studyforrest.readers import tables


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


def test_columns_in_any_order_with_quoted_fields(path):
    path.write_text('start,text,end\n1.5,"a, ""b""",2\n3,c,4\n')
    table = tables.read(path, ("end", "text"))
    assert table == {"end": ["2", "4"], "text": ['a, "b"', "c"]}
    np.testing.assert_array_equal(tables.numbers(path, table, "end"), [2.0, 4.0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"table\.csv is empty"),
        ("a,b\n", r"table\.csv: nothing below the header"),
        ("a,c\n1,2\n", r"table\.csv, line 1: no column 'b' among \['a', 'c'\]"),
        ("a,b\n1,2\n3\n", r"table\.csv, line 3: 1 fields, but the header has 2"),
        ('a,b\n1,2\n3,"cut', r"table\.csv, line 3: .*"),
    ],
)
def test_malformed_files(path, content, message):
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        tables.read(path, ("a", "b"))


def test_text_in_another_encoding(path):
    path.write_bytes("a,b\n1,é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"table\.csv, line \d: .*utf-8"):
        tables.read(path, ("a", "b"))


@pytest.mark.parametrize("field", ["x", "", "nan", "inf", "1e999", "0x1", "1 2", "\u2460"])
def test_what_is_no_number_is_named(path, field):
    path.write_text(encoding="utf-8", data=f"a,b\n1,2\n3,{field}\n5,6\n")
    table = tables.read(path, ("b",))
    with pytest.raises(ValueError, match=r"table\.csv, line 3, column 'b': .* finite number"):
        tables.numbers(path, table, "b")
