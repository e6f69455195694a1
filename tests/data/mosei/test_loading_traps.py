"""What real files have: infinities, wrong lengths, zeros, other sides of padding, repeated ids."""

import numpy as np
import pytest

from lddu.data import mosei


def load(path, **options):
    return mosei.load(path, cache=None, progress=False, **options)


def test_infinities_and_nan_become_zero_and_are_counted(world, make, tmp_path):
    content = make.tailor(world, as_lists=False)
    audio = content["train"]["src-audio"]
    audio[0, 0, :3] = -np.inf
    audio[1, 0, 5] = np.inf
    content["test"]["src-visual"][2, 0, 1] = np.nan
    data = load(make.pickled(content, tmp_path / "a.pt"))
    for split in data.splits().values():
        assert all(np.isfinite(m.values).all() for m in split.batch.modalities.values())
    assert data.card.repairs == {
        "a.pt train 'src-audio': -inf set to 0": 3,
        "a.pt train 'src-audio': +inf set to 0": 1,
        "a.pt test 'src-visual': NaN set to 0": 1,
    }


def test_declared_lengths_hold_where_steps_are_zero(world, make, tmp_path):
    content = make.lddu(world, "unaligned")
    part = content["train"]
    part["vision"][0] = 1
    part["vision"][0, 5:] = 0
    part["vision_lengths"][0] = 8  # three real steps of zeros at the end
    part["audio"][1] = 1
    part["audio_lengths"][1] = 4  # values behind it
    part["audio_lengths"][2] = 99  # beyond the array
    part["audio"][3] = 0
    part["audio_lengths"][3] = 1  # the release's way to say that there is none
    part["audio"][4] = 0
    part["audio_lengths"][4] = 0
    batch = (
        data := load(make.pickled(content, tmp_path / "a.pkl"), setting="unaligned")
    ).train.batch
    vision, audio = (batch.modalities[name] for name in ("vision", "audio"))
    assert vision.mask[0].sum() == 8
    assert audio.mask[1].sum() == 4
    assert (audio.values[1, 4:] == 0).all()
    assert audio.mask[2].sum() == 14
    assert not audio.mask[3:5].any()
    assert batch.present["audio"].tolist()[:6] == [True, True, True, False, False, True]
    assert data.card.repairs == {
        "a.pkl train 'audio': declared lengths beyond the array, cut to it": 1,
        "a.pkl train 'audio': sequences with values behind their length, cut": 1,
        "a.pkl train 'audio': declared sequences of zeros only, taken as missing": 1,
    }
    assert data.card.splits["train"]["modalities"]["audio"]["missing"] == 2


def test_bert_writes_values_behind_the_last_token(world, make, tmp_path):
    content = make.lddu(world, "aligned")
    content["train"]["text"][content["train"]["text"] == 0] = 0.25
    mask = content["train"]["text_bert"][:, 1]
    batch = load(make.pickled(content, tmp_path / "a.pkl")).train.batch
    np.testing.assert_array_equal(batch.modalities["text"].mask, mask == 1)
    assert (batch.modalities["text"].values[mask == 0] == 0).all()


def test_multibench_keeps_samples_without_words_and_drops_those_without_anything(
    world, make, check, tmp_path
):
    content = make.plain(world, "aligned", "segment", True)
    content["train"]["text"][[3, 4]] = 0
    for name in ("text", "audio", "vision"):
        content["train"][name][7] = 0
    content["train"]["audio"][7, 2] = -np.inf  # nothing either
    data = load(make.pickled(content, tmp_path / "m.pkl"))
    assert len(data.train.ids) == 39
    assert "alpha[7]" not in data.train.ids
    assert data.train.batch.present["text"].tolist()[:6] == [True] * 3 + [False] * 2 + [True]
    np.testing.assert_array_equal(
        data.train.batch.labels, np.delete(world.labels("train") > 0, 7, axis=0)
    )
    assert data.card.repairs == {
        "m.pkl train: samples without any step at all, dropped": 1,
        "m.pkl train 'text': samples without words, kept": 2,
    }


def test_zeros_within_a_sequence_are_real_steps(world, make, tmp_path):
    content = make.plain(world, "aligned", "segment", True)
    content["train"]["audio"][0, -6] = 1
    content["train"]["audio"][0, -5:-1] = 0
    content["train"]["audio"][0, :-6] = 0
    audio = load(make.pickled(content, tmp_path / "m.pkl")).train.batch.modalities["audio"]
    assert audio.mask[0].sum() == 6
    assert (audio.values[0, 0] == 1).all()
    assert (audio.values[0, 1:5] == 0).all()


def test_the_side_of_the_padding_is_seen(world, make, check, tmp_path):
    # MulT's own code does not tell; both sides come out the same.
    content = make.plain(world, "unaligned", "interval", False)
    for split, part in content.items():
        for name in ("text", "audio", "vision"):
            part[name] = world.padded(split, "unaligned", name)
    make.labels_csd(world, tmp_path)
    data = load(make.pickled(content, tmp_path / "noalign.pkl"), setting="unaligned")
    check(data, world, "unaligned")
    assert not any("padding" in text for text in data.card.warnings)


def test_padding_at_the_other_side_than_the_layouts_is_followed_and_said(
    world, make, check, tmp_path
):
    content = make.lddu(world, "unaligned")
    for split in world.segments:
        keys = make.clip_rows(world, split)[1]
        content[split]["audio"] = world.padded(split, "unaligned", "audio", keys, start=True)
    data = load(make.pickled(content, tmp_path / "a.pkl"), setting="unaligned")
    keys = {split: make.clip_rows(world, split)[1] for split in world.segments}
    check(data, world, "unaligned", keys, soft=False)
    assert any("'audio': zeros at the start" in text for text in data.card.warnings)


def test_a_sample_in_two_splits_is_an_error(world, make, tmp_path):
    content = make.plain(world, "aligned", "segment", True)
    content["test"]["id"][2] = "alpha[3]"
    with pytest.raises(ValueError, match=r"test: sample 'alpha\[3\]' is in train too"):
        load(make.pickled(content, tmp_path / "m.pkl"))


def test_a_sample_twice_in_a_split_is_noted_and_kept_apart(world, make, tmp_path):
    content = make.plain(world, "aligned", "segment", True)
    content["train"]["id"][2] = "alpha[3]"
    data = load(make.pickled(content, tmp_path / "m.pkl"))
    assert list(data.train.ids[2:4]) == ["alpha[3]", "alpha[3] #2"]
    assert any(
        "1 ids come more than once, such as 'alpha[3]'" in text for text in data.card.warnings
    )


def test_a_video_in_two_splits_is_noted(world, make, tmp_path):
    content = make.plain(world, "aligned", "segment", True)
    content["test"]["id"][2] = "alpha[99]"
    data = load(make.pickled(content, tmp_path / "m.pkl"))
    assert any(
        "1 videos are in more than one split, such as 'alpha'" in t for t in data.card.warnings
    )


def test_unexpected_widths_are_noted_and_read(world, make, tmp_path):
    content = make.lddu(world, "aligned")
    for part in content.values():
        part["vision"] = part["vision"][:, :, :20]
    data = load(make.pickled(content, tmp_path / "a.pkl"))
    assert data.shapes()["vision"] == (20, 9)
    assert any("'vision': 20 features, expected 35 or 713" in text for text in data.card.warnings)


def test_widths_that_differ_between_splits_are_an_error(world, make, tmp_path):
    content = make.lddu(world, "aligned")
    content["test"]["vision"] = content["test"]["vision"][:, :, :20]
    with pytest.raises(ValueError, match=r"'vision'.*train 35, valid 35, test 20"):
        load(make.pickled(content, tmp_path / "a.pkl"))


def test_the_card_tells_what_differs_from_the_published_set(world, make, tmp_path):
    path = make.pickled(make.lddu(world, "aligned"), tmp_path / "aligned_50.pkl")
    card = load(path).card
    assert card.splits["train"]["published"] == 16326
    assert "train has 40 samples, but 16,326 were published" in card.warnings
    # The name of a published file, but another file.
    assert any("aligned_50.pkl is not the file" in text for text in card.warnings)
    assert card.splits["train"]["positives"] == {
        label: int(n)
        for label, n in zip(mosei.LABELS, (world.labels("train") > 0).sum(0).tolist(), strict=True)
    }
    assert card.sources[0].known_as is None
