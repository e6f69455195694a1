import numpy as np
import pytest

from lddu.data import m3ed


def test_one_sample_is_one_dialogue(world, load, hot):
    data = load(world)
    assert data.labels == m3ed.LABELS
    assert data.train.ids.tolist() == ["sa_1", "sa_2"]
    assert data.valid.ids.tolist() == ["sb_1"]
    assert data.test.ids.tolist() == ["sc_1", "sc_2"]
    np.testing.assert_array_equal(data.train.batch.labels, [hot("happy", "neutral"), hot("anger")])
    np.testing.assert_array_equal(data.valid.batch.labels, [hot("sad", "fear", "disgust")])
    np.testing.assert_array_equal(
        data.test.batch.labels, [hot("neutral"), hot("surprise", "happy")]
    )
    assert data.shapes() == {"text": (768, 3), "audio": (1024, 3), "vision": (342, 3)}
    for item, name in ((3, "text"), (4, "audio"), (5, "vision")):
        modality = data.train.batch.modalities[name]
        np.testing.assert_array_equal(modality.mask, [[True, True], [True, False]])
        np.testing.assert_array_equal(modality.values[0], world.items[item]["sa_1"])
        np.testing.assert_array_equal(modality.values[1, :1], world.items[item]["sa_2"])
        assert not modality.values[1, 1:].any()
        assert data.train.batch.present[name].all()
    assert not data.card.repairs


def test_soft_labels_are_the_highest_share_over_the_utterances(world, load):
    soft = load(world).train.soft
    third = 1 / 3
    # Votes: happy 2/3 and surprise 2/3 in the first utterance, neutral 2/3 and sad 1/3 in the next.
    np.testing.assert_allclose(
        soft, [[2 / 3, 2 / 3, third, 0, 0, 0, 2 / 3], [0, 0, 0, third, 2 / 3, 0, 0]], atol=1e-6
    )


def test_without_annotations_there_are_no_soft_labels_and_the_rest_is_the_same(world, load):
    bare = load(world, annotation=False, lists=False)
    full = load(world)
    assert bare.train.soft is None
    assert "no soft labels" in bare.card.task
    for split, other in zip(bare.splits().values(), full.splits().values(), strict=True):
        np.testing.assert_array_equal(split.batch.labels, other.batch.labels)
        np.testing.assert_array_equal(split.ids, other.ids)


@pytest.mark.parametrize("order", [(3, 5, 4), (4, 3, 5), (5, 4, 3), (5, 3, 4), (4, 5, 3)])
def test_features_in_another_order_are_told_apart_by_width(world, load, order):
    expected = load(world)
    world.items[3:6] = [world.items[i] for i in order]
    data = load(world)
    for name, modality in expected.train.batch.modalities.items():
        np.testing.assert_array_equal(data.train.batch.modalities[name].values, modality.values)
    ((what, count),) = data.card.repairs.items()
    assert "told apart by width" in what
    assert count == 5


@pytest.mark.parametrize("width", [768, 1000, 342])
def test_widths_that_tell_nothing_are_an_error(world, load, width):
    world.items[4] = {name: rows[:, :width] for name, rows in world.items[4].items()}
    with pytest.raises(ValueError, match=rf"features\.pkl: widths 3: 768, 4: {width}, 5: 342"):
        load(world)


def test_is10_speech_is_taken_too(world, load):
    world.items[4] = {name: np.ones((len(rows), 1582)) for name, rows in world.items[4].items()}
    assert load(world).shapes()["audio"] == (1582, 3)


def test_long_dialogues_are_cut_and_counted_but_keep_their_labels(world, load, hot):
    for i, item in enumerate(world.items[:7]):
        first = [f"A_sa_2_{k}" for k in range(80)] if i == 0 else [item["sa_2"][0]] * 80
        item["sa_2"] = np.array(first) if i in (3, 4, 5) else first
    world.items[2]["sa_2"][79] = 5
    data = load(world, annotation=False)
    audio = data.train.batch.modalities["audio"]
    assert audio.values.shape == (2, 60, 1024)
    np.testing.assert_array_equal(audio.mask.sum(1), [2, 60])
    np.testing.assert_array_equal(data.train.batch.labels[1], hot("anger", "fear"))
    assert data.card.repairs["features.pkl, train, audio: sequences longer than 60, cut"] == 1


def test_a_zero_vector_stays_a_step_and_zeros_only_are_missing(world, load):
    world.items[5]["sa_1"][1] = 0
    world.items[5]["sa_2"][:] = 0
    train = load(world).train.batch
    np.testing.assert_array_equal(train.modalities["vision"].mask.sum(1), [2, 0])
    np.testing.assert_array_equal(train.present["vision"], [True, False])


def test_values_that_are_no_numbers_become_zeros_and_are_counted(world, load):
    world.items[4]["sb_1"][0, :3] = [-np.inf, np.inf, np.nan]
    data = load(world)
    np.testing.assert_array_equal(data.valid.batch.modalities["audio"].values[0, 0, :3], 0)
    assert set(data.card.repairs.values()) == {1}
    assert len(data.card.repairs) == 3


@pytest.mark.parametrize(
    "labels", [[[0, 6], [1]], [(0, 6), 1], ["Happy,Surprise", "Neutral"], [np.array([0, 6]), 1]]
)
def test_labels_may_be_lists_or_words(world, load, hot, labels):
    world.items[2]["sa_1"] = labels
    data = load(world)
    np.testing.assert_array_equal(data.train.batch.labels[0], hot("happy", "surprise", "neutral"))


def test_ids_without_the_speaker_are_the_same_utterances(world, load):
    expected = load(world)
    for name, ids in world.items[0].items():
        world.items[0][name] = [i.partition("_")[2] for i in ids]
    np.testing.assert_array_equal(load(world).train.soft, expected.train.soft)


def test_labels_that_contradict_the_annotation_are_counted(world, load):
    few(world)
    world.items[2]["sa_3"][0] = 4
    data = load(world)
    assert any(w.startswith("1 utterances have another label") for w in data.card.warnings), (
        data.card.warnings
    )


def test_labels_in_another_coding_are_an_error(world, load):
    world.items[2] = {n: [(c + 1) % 7 for c in codes] for n, codes in world.items[2].items()}
    with pytest.raises(ValueError, match=r"features\.pkl: 9 of 9 utterances have another label"):
        load(world)


def few(world, count=40):
    """Adds a dialogue so long that one misfit stays below 5 %."""
    world.annotation["sa"]["sa_3"] = {
        "Dialog": {f"sa_3_{k}": world.dialog("sa_1")["sa_1_2"] for k in range(count)}
    }
    for i, item in enumerate(world.items[:7]):
        rows = [f"A_sa_3_{k}" for k in range(count)] if i == 0 else [item["sa_1"][1]] * count
        item["sa_3"] = np.array(rows) if i in (3, 4, 5) else rows
    world.items[7].append("sa_3")


def test_unannotated_dialogues_take_their_hard_labels_for_soft_ones(world, load, hot):
    few(world)
    del world.annotation["sa"]["sa_2"]
    data = load(world)
    np.testing.assert_array_equal(data.train.soft[1], hot("anger"))
    assert "1 utterances of the feature file are not in annotation.json" in data.card.warnings
    assert any("hard labels serve as soft" in what for what in data.card.repairs)


def test_fewer_features_than_annotations_are_fine(world, load):
    for item in world.items[:7]:
        del item["sc_2"]
    world.items[9].remove("sc_2")
    data = load(world)
    assert "2 utterances of annotation.json are not in the feature file" in data.card.warnings


def test_dialogues_without_utterances_are_dropped_and_counted(world, load):
    for item in world.items[:7]:
        item["sa_2"] = item["sa_2"][:0]
    data = load(world)
    assert data.train.ids.tolist() == ["sa_1"]
    assert data.card.repairs["dialogues without utterances, dropped"] == 1


@pytest.mark.parametrize("item", range(1, 7))
def test_every_array_has_one_row_per_utterance(world, load, item):
    world.items[item]["sb_1"] = world.items[item]["sb_1"][:2]
    message = rf"features\.pkl, item {item} \(.*\), dialogue 'sb_1': 2 rows, .* 3 utterances"
    with pytest.raises(ValueError, match=message):
        load(world)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_any_pickle_protocol_is_read(world, load, protocol):
    assert load(world, protocol=protocol).train.ids.tolist() == ["sa_1", "sa_2"]


def test_the_card_says_what_was_read(world, load):
    card = load(world).card
    assert (card.name, card.layout) == ("M3ED", "the authors' feature pickle")
    assert [source.file for source in card.sources] == [
        "features.pkl",
        "annotation.json",
        "movie_list_train.txt",
        "movie_list_val.txt",
        "movie_list_test.txt",
    ]
    assert card.splits["train"]["published"] == 685
    assert "train has 2 samples, but 685 were published" in card.warnings
