import numpy as np
import pytest


def test_one_sample_is_one_utterance(world, load, hot):
    data = load(world, "utterance")
    assert data.train.ids.tolist() == ["sa_1_1", "sa_1_2", "sa_2_1"]
    assert data.valid.ids.tolist() == ["sb_1_1", "sb_1_2", "sb_1_3"]
    assert data.test.ids.tolist() == ["sc_1_1", "sc_2_1", "sc_2_2"]
    np.testing.assert_array_equal(
        data.train.batch.labels, [hot("happy", "surprise"), hot("neutral"), hot("anger")]
    )
    np.testing.assert_array_equal(
        data.valid.batch.labels, [hot("sad"), hot("fear", "sad"), hot("disgust")]
    )
    for item, name in ((3, "text"), (4, "audio"), (5, "vision")):
        modality = data.train.batch.modalities[name]
        rows = np.concatenate([world.items[item]["sa_1"], world.items[item]["sa_2"]])
        np.testing.assert_array_equal(modality.values[:, 0], rows)
        assert modality.mask.shape == (3, 1)
        assert modality.mask.all()
    assert not data.card.repairs


def test_soft_labels_are_shares_of_annotators(world, load):
    third, most = 1 / 3, 2 / 3
    np.testing.assert_allclose(
        load(world, "utterance").train.soft,
        [[most, 0, 0, 0, 0, 0, most], [0, most, third, 0, 0, 0, 0], [0, 0, 0, third, most, 0, 0]],
        atol=1e-6,
    )


def test_annotators_without_an_answer_do_not_count(world, load):
    world.emotions("sa_1_1").update(EmoAnnotator1="", EmoAnnotator2="NotSure")
    world.emotions("sa_1_2").update(EmoAnnotator1=None, EmoAnnotator2=" ", EmoAnnotator3="Not sure")
    data = load(world, "utterance")
    np.testing.assert_array_equal(data.train.soft[0], [0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(data.train.soft[1], data.train.batch.labels[1])
    assert data.card.repairs == {
        "utterances without annotators' answers, whose hard labels serve as soft ones": 1
    }


def test_a_zero_vector_is_a_missing_modality(world, load):
    world.items[5]["sa_1"][1] = 0
    world.items[4]["sa_2"][0] = np.nan
    batch = load(world, "utterance").train.batch
    np.testing.assert_array_equal(batch.present["vision"], [True, False, True])
    np.testing.assert_array_equal(batch.present["audio"], [True, True, False])
    assert batch.present["text"].all()


def test_empty_annotations_are_dropped_and_counted(world, load):
    world.emotions("sa_1_2")["final_mul_emo"] = ""
    data = load(world, "utterance")
    assert data.train.ids.tolist() == ["sa_1_1", "sa_2_1"]
    assert data.card.repairs == {"utterances with an empty final_mul_emo, dropped": 1}


@pytest.mark.parametrize("field", ["final_mul_emo", "final_main_emo", "EmoAnnotator2"])
def test_an_unknown_emotion_is_named_with_its_place(world, load, field):
    world.emotions("sb_1_2")[field] = "Happy,Bored"
    place = rf"annotation\.json, dialogue 'sb_1', utterance 'sb_1_2', {field}: .*'bored'"
    with pytest.raises(ValueError, match=place):
        load(world, "utterance")


def test_matches_by_id_and_not_by_order(world, load):
    expected = load(world, "utterance")
    world.annotation["sb"]["sb_1"]["Dialog"] = dict(reversed(world.dialog("sb_1").items()))
    data = load(world, "utterance")
    np.testing.assert_array_equal(data.valid.ids, expected.valid.ids)
    np.testing.assert_array_equal(data.valid.batch.labels, expected.valid.batch.labels)


@pytest.fixture
def large(world):
    """40 utterances more, so that one is less than 5 %."""
    like = world.dialog("sa_1")["sa_1_2"]
    world.annotation["sa"]["sa_3"] = {"Dialog": {f"sa_3_{k}": like for k in range(40)}}
    for i, item in enumerate(world.items[:7]):
        rows = [f"A_sa_3_{k}" for k in range(40)] if i == 0 else [item["sa_1"][1]] * 40
        item["sa_3"] = np.array(rows) if i in (3, 4, 5) else rows
    world.items[7].append("sa_3")
    return world


def test_few_utterances_without_annotation_are_dropped_and_counted(large, load):
    del large.dialog("sa_1")["sa_1_2"]
    data = load(large, "utterance")
    assert len(data.train.ids) == 42
    assert "sa_1_2" not in data.train.ids
    assert data.card.repairs == {"utterances without an annotation, dropped": 1}
    assert "1 utterances of the feature file are not in annotation.json" in data.card.warnings


def test_few_annotations_without_features_are_counted(large, load):
    large.dialog("sc_1")["sc_1_9"] = large.dialog("sc_1")["sc_1_1"]
    data = load(large, "utterance")
    assert "1 utterances of annotation.json are not in the feature file" in data.card.warnings


@pytest.mark.parametrize("way", ["annotation", "features"])
def test_files_that_do_not_belong_together_are_an_error(large, load, way):
    if way == "annotation":
        large.annotation["sb"] = {}
        message = "3 of 49 utterances of the feature file"
    else:
        for item in large.items[:7]:
            del item["sb_1"]
        large.items[8] = ["sc_1"]
        large.items[9] = ["sc_2"]
        message = "3 of 49 utterances of annotation.json"
    with pytest.raises(ValueError, match=message):
        load(large, "utterance", lists=False)


def test_an_utterance_in_two_dialogues_is_an_error(world, load):
    world.annotation["sa"]["sa_2"]["Dialog"] = {"sa_1_1": world.dialog("sa_1")["sa_1_1"]}
    world.items[0]["sa_2"] = ["A_sa_1_1"]
    world.items[2]["sa_2"] = [0]
    with pytest.raises(ValueError, match="two dialogues"):
        load(world, "utterance")


def test_without_annotation_json_the_error_says_what_is_needed(world, load):
    with pytest.raises(ValueError, match=r"features\.pkl is there, but no annotation\.json in"):
        load(world, "utterance", annotation=False)
