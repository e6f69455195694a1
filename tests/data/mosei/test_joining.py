"""Emotion labels by id: joined where confirmed, dropped and counted where not, never guessed."""

import numpy as np
import pytest

from lddu.data import mosei
from lddu.data.card import Findings
from lddu.data.mosei import joining
from lddu.data.mosei.readers import ids
from lddu.data.mosei.readers.rows import Rows


def rows(names, sentiment, where="file train", kind_rows=None):
    parsed = ids.parse(kind_rows if kind_rows is not None else names, where)
    values = {name: np.zeros((len(names), 1, 1)) for name in ("text", "audio", "vision")}
    keys = {name: name for name in values}
    sentiment = None if sentiment is None else np.asarray(sentiment, float)
    return Rows(where, values, keys, ids=parsed, sentiment=sentiment)


@pytest.fixture
def labels(make, tmp_path):
    """A labels file of one video with 12 segments and one with 30; sentiment k / 10, fear k % 4."""

    def video(count):
        k = np.arange(count)
        values = np.zeros((count, 7))
        values[:, 0], values[:, 6] = k / 10, k % 4
        return np.stack([5.0 * k, 5.0 * k + 5], 1), values

    return make.csd(
        tmp_path / "CMU_MOSEI_Labels.csd", "All Labels", {"v": video(12), "w": video(30)}
    )


def w_rows():
    return [f"w$_${k:02d}" for k in range(30)], [k / 10 for k in range(30)]


def test_clips_are_numbered_by_name_and_not_by_number(labels):
    names = [f"v$_${i}" for i in range(12)]
    order = sorted(str(i) for i in range(12))  # 0, 1, 10, 11, 2, ...
    segment = [order.index(str(i)) for i in range(12)]
    findings = Findings()
    kept, emotions = joining.by_id({"train": rows(names, np.array(segment) / 10)}, labels, findings)
    assert kept["train"].tolist() == list(range(12))
    assert emotions["train"][:, 5].tolist() == [k % 4 for k in segment]
    assert not findings.repairs
    assert not findings.warnings
    with pytest.raises(ValueError, match=r"10 of 12 rows .* sentiment differs|12 of 12"):
        joining.by_id({"train": rows(names, np.arange(12) / 10)}, labels, Findings())


def test_clips_of_a_video_are_numbered_over_all_splits(labels):
    names, sentiment = w_rows()
    parts = {"train": rows(names[::2], sentiment[::2]), "test": rows(names[1::2], sentiment[1::2])}
    kept, emotions = joining.by_id(parts, labels, Findings())
    assert emotions["test"][:, 5].tolist() == [k % 4 for k in range(1, 30, 2)]
    assert len(kept["train"]) == 15


def test_single_rows_that_do_not_fit_are_dropped_and_named(labels):
    names, sentiment = w_rows()
    sentiment[7] += 0.002
    findings = Findings()
    kept, emotions = joining.by_id({"train": rows(names, sentiment)}, labels, findings)
    assert kept["train"].tolist() == [k for k in range(30) if k != 7]
    assert emotions["train"][7, 5] == 8 % 4
    assert findings.repairs == {"file train: rows that do not fit CMU_MOSEI_Labels.csd, dropped": 1}
    assert "w$_$07" in findings.warnings[0]
    assert "its sentiment differs: 1" in findings.warnings[0]


def test_a_rounding_of_sentiment_fits(labels):
    names, sentiment = w_rows()
    kept, _ = joining.by_id({"train": rows(names, np.array(sentiment) + 9e-4)}, labels, Findings())
    assert len(kept["train"]) == 30


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sentiment_that_is_no_number_fits_nothing(labels, bad):
    names, sentiment = w_rows()
    sentiment[3] = bad
    kept, _ = joining.by_id({"train": rows(names, sentiment)}, labels, Findings())
    assert 3 not in kept["train"]


def test_an_unknown_video_is_dropped(labels):
    names, sentiment = w_rows()
    findings = Findings()
    found = rows(["who$_$1", *names], [0.0, *sentiment])
    kept, _ = joining.by_id({"train": found}, labels, findings)
    assert kept["train"].tolist() == list(range(1, 31))
    assert "its video is not in the labels: 1" in findings.warnings[0]


def test_a_missing_last_clip_shifts_nothing_and_is_joined(labels):
    names, sentiment = w_rows()
    findings = Findings()
    kept, _ = joining.by_id({"train": rows(names[:-1], sentiment[:-1])}, labels, findings)
    assert len(kept["train"]) == 29
    assert not findings.repairs


def test_a_missing_clip_in_between_drops_the_video(labels):
    # All behind it are shifted, and some of them agree in sentiment by chance.
    names, sentiment = w_rows()
    v_names, v_sentiment = (
        [f"v$_${k:02d}" for k in range(11)],
        [0, 0.1, *(k / 10 for k in (3,) * 9)],
    )
    with pytest.raises(ValueError, match="another number of segments"):
        joining.by_id({"train": rows(v_names + names, v_sentiment + sentiment)}, labels, Findings())
    many = [*rows_many(names, sentiment, 9), (v_names, v_sentiment)]
    findings = Findings()
    found = joined(many)
    kept, _ = joining.by_id({"train": found}, labels_of_many(labels, 9), findings)
    assert len(kept["train"]) == 270
    assert list(findings.repairs.values()) == [11]


def rows_many(names, sentiment, count):
    return [([f"{n}w{name[1:]}" for name in names], sentiment) for n in range(count)]


def joined(parts):
    return rows([n for names, _ in parts for n in names], [x for _, found in parts for x in found])


def labels_of_many(labels, count):
    import h5py

    with h5py.File(labels, "r+") as file:
        for n in range(count):
            file.copy("All Labels/data/w", f"All Labels/data/{n}w")
    return labels


def test_a_video_that_mostly_differs_is_dropped_as_a_whole(labels):
    names, sentiment = w_rows()
    many = rows_many(names, sentiment, 9)
    # Seven of twelve differ: the other five agree by chance.
    v = ([f"v$_${k:02d}" for k in range(12)], [k / 10 if k < 5 else 2.5 for k in range(12)])
    found = joined([*many, v])
    kept, _ = joining.by_id({"train": found}, labels_of_many(labels, 9), Findings())
    assert len(kept["train"]) == 270


def test_more_than_five_percent_are_an_error_with_figures(labels):
    names, sentiment = w_rows()
    with pytest.raises(
        ValueError, match=r"file train: 2 of 32 rows do not fit .*not in the labels"
    ):
        joining.by_id(
            {"train": rows([*names, "a$_$1", "b$_$1"], [*sentiment, 0, 0])}, labels, Findings()
        )


def test_segments_are_confirmed_too(labels):
    names = [f"w[{k}]" for k in range(30)]
    _, emotions = joining.by_id({"train": rows(names, np.arange(30) / 10)}, labels, Findings())
    assert emotions["train"][:, 5].tolist() == [k % 4 for k in range(30)]
    with pytest.raises(ValueError, match="its sentiment differs"):
        joining.by_id({"train": rows(names, np.arange(30) / 10 + 0.1)}, labels, Findings())
    with pytest.raises(ValueError, match="its segment is not in the labels"):
        joining.by_id({"train": rows(["w[30]"], [0])}, labels, Findings())


def test_times_match_within_a_hundredth(labels):
    for shift, fits in ((0.009, True), (-0.009, True), (0.02, False), (np.nan, False)):
        times = [("w", str(5 * k + shift), "0") for k in range(30)]
        found = {"train": rows(times, None, kind_rows=times)}
        if fits:
            _, emotions = joining.by_id(found, labels, Findings())
            assert emotions["train"][:, 5].tolist() == [k % 4 for k in range(30)]
        else:
            with pytest.raises(ValueError, match="its segment is not in the labels: 30"):
                joining.by_id(found, labels, Findings())


def test_ids_that_say_nothing_are_an_error(labels):
    with pytest.raises(ValueError, match=r"such as 'a17' do not say which segment"):
        joining.by_id({"train": rows(["a17"], [0])}, labels, Findings())


def test_clips_need_the_sentiment(labels):
    with pytest.raises(ValueError, match="no sentiment to confirm"):
        joining.by_id({"train": rows(["v$_$1"], None)}, labels, Findings())


@pytest.mark.parametrize(("bad", "shown"), [(-0.5, "-0.5"), (np.nan, "nan")])
def test_a_negative_or_missing_intensity_names_its_segment(world, make, tmp_path, bad, shown):
    def change(videos):
        videos["delta"][1][4, 3] = bad

    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "aligned_50.pkl")
    make.labels_csd(world, tmp_path, change)
    with pytest.raises(ValueError) as raised:
        mosei.load(path, cache=None, progress=False)
    assert f"segment 4 of 'delta' has intensity {shown} of 'anger'" in str(raised.value)


def test_intensities_above_three_are_clamped_and_counted(world, make, tmp_path):
    def change(videos):
        videos["delta"][1][4, 3] = 3.0000002
        videos["delta"][1][5, 3] = 3.5

    path = make.pickled(make.mmsa(world, "aligned"), tmp_path / "aligned_50.pkl")
    make.labels_csd(world, tmp_path, change)
    data = mosei.load(path, cache=None, progress=False)
    assert data.valid.soft.max() == 1
    (count,) = [n for what, n in data.card.repairs.items() if "above 3" in what]
    assert count == 2
    assert any("3.5" in text for text in data.card.warnings)
