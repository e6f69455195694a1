import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.data.card import Findings
from lddu.data.m3ed.splits import assign, read_lists


def test_splitinfo_wins_over_the_pickle_which_is_said(world, load):
    world.items[8], world.items[9] = world.items[9], world.items[8]
    data = load(world)
    assert data.valid.ids.tolist() == ["sb_1"]
    assert any(
        w.startswith("3 dialogues (sb_1, sc_1, sc_2) in another split") for w in data.card.warnings
    )
    assert load(world, "utterance", lists=True).valid.ids[0] == "sb_1_1"


def test_the_pickle_decides_without_splitinfo(world, load, tmp_path):
    world.items[8], world.items[9] = world.items[9], world.items[8]
    data = load(world, lists=False)
    assert data.valid.ids.tolist() == ["sc_1", "sc_2"]


def test_a_dialogue_in_two_splits_is_named(world, load):
    world.items[9].append("sb_1")
    with pytest.raises(ValueError, match=r"features\.pkl: dialogue 'sb_1' is in valid and in test"):
        load(world)


def test_a_dialogue_in_none_is_dropped_and_counted(world, load):
    world.items[7].remove("sa_2")
    data = load(world, lists=False)
    assert data.train.ids.tolist() == ["sa_1"]
    assert data.card.repairs == {"dialogues in no split, dropped": 1}
    assert "1 dialogues (sa_2) in no split, dropped" in data.card.warnings
    assert load(world).train.ids.tolist() == ["sa_1", "sa_2"]


def test_dialogues_without_features_are_said(world, load):
    world.items[7].append("sa_9")
    data = load(world)
    assert "1 dialogues (sa_9) in the splits, but without features" in data.card.warnings


def test_an_empty_split_is_an_error(world, load):
    world.items[8] = []
    with pytest.raises(ValueError, match="no dialogue is in valid, by the file"):
        load(world, lists=False)
    world.lists["val"] = ["another"]
    with pytest.raises(ValueError, match="no dialogue is in valid, by splitInfo"):
        load(world)


def test_the_series_is_what_the_annotation_says(world, load):
    renamed = {"other": world.annotation.pop("sb"), **world.annotation}
    world.annotation, world.lists["val"] = renamed, ["other"]
    assert load(world).valid.ids.tolist() == ["sb_1"]


def test_a_series_in_two_lists_is_named(world, load):
    world.lists["test"].append("sb")
    with pytest.raises(
        ValueError, match=r"movie_list_test\.txt: the series 'sb' is also in .*valid"
    ):
        load(world)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "names no series"), (b"\xff\xfe\xfa", "read")]
)
def test_damaged_lists_are_named(tmp_path, content, message):
    path = tmp_path / "movie_list_train.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"movie_list_train\.txt .*{message}"):
        read_lists({"train": path})


def test_lists_of_other_systems_are_read(tmp_path):
    path = tmp_path / "l.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\n")
    assert read_lists({"train": path}) == {"one": "train", "two": "train"}


@given(
    series=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("xyz"), min_size=3),
    own=st.dictionaries(
        st.sampled_from("abcdefghij"), st.sampled_from(["train", "valid", "test"]), min_size=1
    ),
    lists=st.none()
    | st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["train", "valid", "test"])),
)
def test_every_dialogue_is_in_one_split_or_dropped(series, own, lists):
    stated = {s: [n for n in own if own[n] == s] for s in ("train", "valid", "test")}
    findings = Findings()
    chosen = own if lists is None else {name: lists.get(s) for name, s in series.items()}
    if not {chosen.get(name) for name in series} >= set(stated):
        with pytest.raises(ValueError, match="f: no dialogue is in "):
            assign(series, stated, lists, "f", findings)
        return
    found = assign(series, stated, lists, "f", findings)
    placed = [name for names in found.values() for name in names]
    assert len(placed) == len(set(placed))
    for split, names in found.items():
        for name in names:
            assert (own[name] if lists is None else lists[series[name]]) == split
    dropped = findings.repairs.get("dialogues in no split, dropped", 0)
    assert len(placed) + dropped == len(series)
