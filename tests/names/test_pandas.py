"""What pandas, polars and xarray objects say about names, and what they leave open."""

import numpy as np
import pytest

from lddu import calibration, metrics, plots, uncertainty
from lddu.data import from_sequences

LABELS = ["joy", "fear", "anger"]
RNG = np.random.default_rng(2)
PROBS = RNG.uniform(0.05, 0.95, (8, 3))
TRUE = (RNG.random(PROBS.shape) < PROBS).astype(int)
NLL = metrics.nll(PROBS, TRUE)


@pytest.fixture
def pd():
    return pytest.importorskip("pandas")


def test_default_numbers_are_no_names(pd):
    probs, labels = pd.DataFrame(PROBS), pd.DataFrame(TRUE, columns=LABELS)
    assert metrics.nll(probs, labels) == NLL
    order = RNG.permutation(8)
    drawn = pd.DataFrame(TRUE, columns=LABELS, index=order)  # as after `sample(frac=1)`
    assert metrics.nll(probs, drawn) == NLL


def test_a_part_of_a_default_index_has_names(pd):
    probs, labels = pd.DataFrame(PROBS), pd.DataFrame(TRUE)
    part = metrics.nll(probs[4:], labels[4:][::-1])
    assert part == pytest.approx(metrics.nll(PROBS[4:], TRUE[4:]))
    with pytest.raises(ValueError, match=r"rows: probs has \[4, 5\], labels has \[6, 7\]"):
        metrics.nll(probs[4:6], labels[6:])


def test_names_twice_are_taken_in_one_order_only(pd):
    probs, labels = (pd.DataFrame(x, columns=["a", "a", "b"]) for x in (PROBS, TRUE))
    assert metrics.nll(probs, labels) == NLL
    with pytest.raises(ValueError, match="another order, and 'a' occurs more than once"):
        metrics.nll(probs, labels[["b"]].join(labels[["a"]]))


def test_long_lists_of_rows_are_shortened(pd):
    probs = pd.DataFrame(np.full((99, 1), 0.5), index=np.arange(99) + 7)
    with pytest.raises(
        ValueError, match=r"7, .*26, \.\.\. 99 in all\], labels has \[8, "
    ) as caught:
        metrics.nll(probs, pd.DataFrame(np.ones((99, 1)), index=np.arange(99) + 8))
    assert len(str(caught.value)) < 600


def test_columns_that_are_not_numbers_are_named(pd):
    labels = pd.DataFrame(TRUE, columns=LABELS).assign(film="a")
    with pytest.raises(ValueError, match=r"labels must be numeric .*\['joy'.*'film'\]"):
        metrics.nll(PROBS, labels)


def test_missing_values_are_nan(pd):
    probs = pd.DataFrame(PROBS, columns=LABELS).astype("Float64")
    assert metrics.nll(probs, TRUE) == NLL
    probs.iloc[0, 0] = pd.NA
    with pytest.raises(ValueError, match="NaN"):
        metrics.nll(probs, TRUE)


def test_groups_and_weights_are_matched_by_index(pd):
    rows = list("abcdefgh")
    probs, labels = (pd.DataFrame(x, rows, LABELS) for x in (PROBS, TRUE))
    groups = pd.Series(["x", "x", "y", "y", "z", "z", "w", "w"], rows)
    want = metrics.ece_debiased(PROBS, TRUE, groups=groups.to_numpy())
    assert metrics.ece_debiased(probs, labels, groups=groups[::-1]) == want
    weights = pd.Series(np.arange(8.0), rows)
    logits = calibration.logit(probs)
    assert isinstance(logits, pd.DataFrame)
    got = calibration.fit_platt(logits, labels, weights=weights.sample(frac=1, random_state=0))
    want = calibration.fit_platt(calibration.logit(PROBS), TRUE, weights=np.arange(8.0))
    np.testing.assert_allclose(got.slope, want.slope, rtol=1e-5)


def test_samples_of_their_own_index_are_matched(pd):
    text = pd.Series([np.full((2, 1), i) for i in range(3)], ["a", "b", "c"])
    audio = pd.Series([None, np.full((1, 1), 5.0), np.nan], ["c", "a", "b"])
    labels = pd.DataFrame(np.eye(3), ["b", "a", "c"], LABELS)
    batch = from_sequences({"text": text, "audio": audio}, labels, label_names=LABELS[::-1])
    assert batch.labels.tolist() == np.eye(3)[[1, 0, 2]][:, ::-1].tolist()
    assert batch.present["audio"].tolist() == [True, False, False]
    assert batch.label_names == ("anger", "fear", "joy")
    named = pd.Series([["joy"], [], ["anger"]], ["b", "a", "c"])
    assert from_sequences({"text": text}, named, label_names=LABELS).labels.tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]
    with pytest.raises(ValueError, match=r"modality 'text' and labels name different rows"):
        from_sequences({"text": text}, labels.rename(index={"a": "d"}))
    table = pd.DataFrame(PROBS, columns=["x", "y", "z"])
    assert from_sequences({"t": table}, vectors="step").modalities["t"].values.shape == (8, 1, 3)


def test_dimensions_are_turned_or_refused():
    xr = pytest.importorskip("xarray")
    coords = {"label": LABELS}
    probs = xr.DataArray(PROBS, dims=("sample", "label"), coords=coords)
    labels = xr.DataArray(TRUE, dims=("sample", "label"), coords=coords)
    assert metrics.nll(probs, labels.T) == NLL
    with pytest.raises(ValueError, match=r"different axes: probs has \('sample', 'label'\)"):
        metrics.nll(probs, labels.rename(label="emotion"))
    assert metrics.nll(xr.DataArray(PROBS), labels) == NLL
    members = xr.DataArray(np.stack([PROBS, PROBS]), dims=("member", "sample", "label"))
    assert uncertainty.decompose_entropy(members).total.dims == ("sample", "label")


def test_plots_are_matched():
    xr = pytest.importorskip("xarray")
    weights = RNG.dirichlet(np.ones(3), (8, 3))[..., :2]
    dims = ("sample", "label", "modality")
    named = xr.DataArray(weights, dims=dims, coords={"modality": ["text", "audio"]})
    turned = named.isel(modality=[1, 0])
    bars = [
        [bar.get_width() for bar in plots.modality_weights(x, LABELS, ["text", "audio"]).patches]
        for x in (weights, named, turned)
    ]
    assert bars[0] == bars[1] == bars[2]
    with pytest.raises(ValueError, match="name different modalities"):
        plots.modality_weights(named, LABELS, ["text", "video"])


def test_latents_are_matched_by_row(pd):
    rows = list("abcdefgh")
    mean, var = RNG.normal(size=(8, 2)), RNG.uniform(1, 2, (8, 2))
    group = np.arange(8) % 2
    frames = [pd.DataFrame(mean, rows), pd.DataFrame(var, rows)[::-1], pd.Series(group, rows)]
    drawn = [
        [x.get_offsets().tolist() for x in plots.latent_ellipses(*arguments).collections]
        for arguments in ((mean, var, group), frames)
    ]
    np.testing.assert_allclose(np.concatenate(drawn[0]), np.concatenate(drawn[1]), rtol=1e-9)
