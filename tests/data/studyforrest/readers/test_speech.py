import numpy as np
import pytest

from lddu.data.studyforrest.readers import speech


def said(lines, start, end):
    return speech.sentences(lines, np.array(start), np.array(end))


def test_a_line_counts_whole_when_half_a_second_of_it_is_inside():
    lines = [
        speech.Line(0.0, 10.5, "A", "Hello, world."),
        speech.Line(13.6, 20.0, "B", "Too late"),
        speech.Line(11.0, 11.4, "C", "short"),
    ]
    assert said(lines, [10.0, 10.1], [14.0, 14.1]) == ["Hello world", "Too late"]
    assert said(lines, [30.0], [34.0]) == [""]


def test_words_are_letters_and_apostrophes():
    lines = [speech.Line(0, 4, "A", "Mr. Gump's I.Q. is seventy-five, don't 6 (sings)")]
    assert said(lines, [0], [4]) == ["Mr Gump's I Q is seventy five don't sings"]


def test_words_after_the_48th_are_dropped():
    lines = [speech.Line(0, 4, "A", "one " * 40), speech.Line(1, 4, "B", "two " * 40)]
    words = said(lines, [0], [4])[0].split()
    assert words == ["one"] * 40 + ["two"] * 8


def write(root, content):
    (root / "speech").mkdir()
    (root / "speech" / "english_dialog.csv").write_text(content)


def test_reading_lines(tmp_path):
    write(tmp_path, '"start","end","person","text"\n1.5,3.0,"A","Say ""yes"", now"\n4,3,"B","Ok"\n')
    assert speech.read_lines(tmp_path) == [
        speech.Line(1.5, 3.0, "A", 'Say "yes", now'),
        speech.Line(4.0, 5.0, "B", "Ok"),  # ended before it started
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("start,end,person\n1,2,A\n", r"dialog\.csv, line 1: no column 'text'"),
        ("start,end,person,text\n1,soon,A,hi\n", r"dialog\.csv, line 2, column 'end': 'soon'"),
        ('start,end,person,text\n1,2,A,"hi', r"dialog\.csv, line 2: "),
    ],
)
def test_malformed_dialogue(tmp_path, content, message):
    write(tmp_path, content)
    with pytest.raises(ValueError, match=message):
        speech.read_lines(tmp_path)
