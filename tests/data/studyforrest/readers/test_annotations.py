import numpy as np
import pytest

from lddu.data.studyforrest import EMOTIONS
from lddu.data.studyforrest.readers import annotations

HEADER = "start,end,character,arousal,valence,direction,emotion,oncue,offcue\n"


def write(root, name, *rows):
    path = root / "emotions" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))


def read(root, start, end, observers):
    return annotations.read_votes(root, np.array(start), np.array(end), observers)


def test_an_episode_votes_in_the_windows_it_overlaps(tmp_path):
    write(tmp_path, "one", "10.0,12.0,F,LOW,POS,SELF,LOVE HOPE,FACE,X")
    write(tmp_path, "two", "11.0,30.0,F,HIGH,NEG,SELF,,FACE,X", "3.0,4.0,F,LOW,POS,SELF,FEAR,X,X")
    # Touches at 10, overlaps, touches at 12, is far away.
    votes = read(tmp_path, [6.0, 8.0, 12.0, 40.0], [10.0, 12.0, 16.0, 44.0], ("one", "two"))
    assert votes.emotion.shape == (4, 2, 22)
    expected = np.zeros((4, 2, 22), bool)
    expected[1, 0, [EMOTIONS.index(word) for word in ("love", "hope")]] = True
    np.testing.assert_array_equal(votes.emotion, expected)
    # Columns low, high; an episode without emotion words still counts.
    np.testing.assert_array_equal(votes.arousal[:, 0], [[0, 0], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(votes.arousal[:, 1], [[0, 0], [0, 1], [0, 1], [0, 0]])
    np.testing.assert_array_equal(votes.valence[:, 1], [[0, 0], [1, 0], [1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.0,2.0,F,LOW,POS,SELF,JOY,X,X", r"line 3, column 'emotion': 'joy' is not one of"),
        ("1.0,2.0,F,MID,POS,SELF,LOVE,X,X", r"line 3, column 'arousal': 'mid' is not one of low"),
        ("1.0,2.0,F,LOW,0,SELF,LOVE,X,X", r"line 3, column 'valence': '0' is not one of neg"),
        ("1.0,?,F,LOW,POS,SELF,LOVE,X,X", r"line 3, column 'end': '\?' is not a finite number"),
        ("2.0,1.0,F,LOW,POS,SELF,LOVE,X,X", r"line 3, column 'end': 1\.0 is before start 2\.0"),
        ("1.0,2.0,F,LOW", r"line 3: 4 fields, but the header has 9"),
    ],
)
def test_malformed_rows_are_named(tmp_path, row, message):
    write(tmp_path, "one", "0.0,1.0,F,LOW,POS,SELF,LOVE,X,X", row)
    with pytest.raises(ValueError, match=r"one\.csv, " + message):
        read(tmp_path, [0.0], [4.0], ("one",))


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "emotions").mkdir()
    (tmp_path / "emotions" / "one.csv").write_text("start,end\n1,2\n")
    with pytest.raises(ValueError, match=r"one\.csv, line 1: no column 'arousal'"):
        read(tmp_path, [0.0], [4.0], ("one",))


def test_the_audio_only_panel_can_be_read(data_folder):
    start = np.arange(17.0, 7000.0, 4)
    votes = annotations.read_votes(data_folder, start, start + 4, annotations.AUDIO_ONLY)
    assert votes.emotion.shape == (len(start), 3, 22)
    assert votes.emotion.any(axis=(0, 2)).all()
