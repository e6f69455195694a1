import json

import numpy as np
import pytest

from lddu.data.m3ed.readers.annotations import read_annotations


@pytest.fixture
def read(tmp_path):
    def run(content):
        path = tmp_path / "annotation.json"
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(text)
        return read_annotations(path)

    return run


def test_what_is_written_comes_back(world, read):
    found = read(world.annotation)
    assert list(found) == ["sa_1", "sa_2", "sb_1", "sc_1", "sc_2"]
    assert found["sb_1"].series == "sb"
    one = found["sa_1"].utterances["sa_1_1"]
    assert (one.labels, one.main) == ({0, 6}, {0})
    np.testing.assert_allclose(one.votes, np.array([2, 0, 0, 0, 0, 0, 2]) / 3, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(sb=[]), r"series 'sb': a list, expected a JSON object"),
        (lambda a: a["sb"].update(sb_1=None), r"dialogue 'sb_1': a NoneType"),
        (lambda a: a["sb"]["sb_1"].pop("Dialog"), r"dialogue 'sb_1': no key 'Dialog' among \['Sp"),
        (lambda a: a["sb"]["sb_1"].update(Dialog=3), r"dialogue 'sb_1', Dialog: a int"),
        (
            lambda a: a["sb"]["sb_1"]["Dialog"]["sb_1_1"].pop("EmoAnnotation"),
            r"utterance 'sb_1_1': no key 'EmoAnnotation'",
        ),
        (
            lambda a: a["sb"]["sb_1"]["Dialog"]["sb_1_1"]["EmoAnnotation"].pop("final_mul_emo"),
            r"utterance 'sb_1_1', EmoAnnotation: no key 'final_mul_emo'",
        ),
        (
            lambda a: a["sb"]["sb_1"]["Dialog"]["sb_1_1"]["EmoAnnotation"].pop("EmoAnnotator3"),
            r"utterance 'sb_1_1', EmoAnnotation: no key 'EmoAnnotator3'",
        ),
        (
            lambda a: a["sb"]["sb_1"]["Dialog"]["sb_1_1"]["EmoAnnotation"].update(
                final_main_emo="Sad,Fear"
            ),
            "final_main_emo: fear, sad; expected one",
        ),
        (lambda a: a["sa"].update(sb_1=a["sb"]["sb_1"]), "'sb_1' is in the series 'sa' and 'sb'"),
        (lambda a: a.clear(), "has no dialogues"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(world, read, change, message):
    change(world.annotation)
    with pytest.raises(ValueError, match=r"annotation\.json.*" + message):
        read(world.annotation)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"a": {}, "a": {}}', b"[" * 100_000, b"null", b"[]", b"NaN"],
)
def test_damaged_files_are_named(read, content):
    with pytest.raises(ValueError, match=r"annotation\.json"):
        read(content)


def test_a_byte_order_mark_does_not_hurt(world, read):
    read(b"\xef\xbb\xbf" + json.dumps(world.annotation).encode())
