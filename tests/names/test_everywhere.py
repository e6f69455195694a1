"""Every public function of arrays matches named arguments, whatever their order."""

import functools
import inspect

import jax
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lddu import calibration, losses, metrics, plots, uncertainty
from lddu.calibration import conformal, scaling, thresholds
from lddu.names.roles import LISTS, ROLES

from .conftest import ROWS

LABELS = ("joy", "fear", "anger")
RNG = np.random.default_rng(0)
PROBS = np.round(RNG.uniform(0.05, 0.95, (len(ROWS), 3)), 3)
LOGITS = np.log(PROBS / (1 - PROBS))
TRUE = (RNG.random(PROBS.shape) < PROBS).astype(int)
PER_LABEL = np.array([0.3, 0.5, 0.6])
PER_ROW = np.repeat(np.arange(12), 2)

VALUES = {
    "probs": PROBS,
    "before": PROBS,
    "after": PROBS**2,
    "sets": {"few": (PROBS > 0.6).astype(int), "many": (PROBS > 0.2).astype(int)},
    "logits": LOGITS,
    "labels": TRUE,
    "decisions": (PROBS > 0.4).astype(int),
    "risk": np.abs(PROBS - TRUE),
    "uncertainty": PROBS * (1 - PROBS),
    "wrong": (PROBS > 0.5) != TRUE,
    "truth": TRUE,
    "estimate": PROBS,
    "a": PROBS,
    "b": PROBS**2,
    "arrays": (PROBS, TRUE),
    "shared": (TRUE,),
    "member_probs": [PROBS, PROBS**2],
    "thresholds": PER_LABEL,
    "anchor": PER_LABEL,
    "false_positive_cost": PER_LABEL,
    "false_negative_cost": PER_LABEL[::-1].copy(),
    "groups": PER_ROW,
    "weights": PER_ROW + 1.0,
    "names": list(LABELS),
    "metric": metrics.brier,
    "score": metrics.aurc,
    "level": 0.3,
    "coverage": 0.5,
    "resamples": 20,
    "draws": 20,
    "max_weight": 20.0,
    "folds": 2,
    "average": "none",
    "per_label": True,
}
# Entries of one label, where a function takes (N,).
ENTRIES = {name: VALUES[name][:, 0] for name in ("risk", "uncertainty", "wrong")}
ONE_LABEL = (
    "metrics.aurc",
    "metrics.excess_aurc",
    "metrics.risk_coverage",
    "metrics.risk_at_coverage",
    "metrics.error_detection",
)
OWN = dict.fromkeys(ONE_LABEL, ENTRIES) | {
    "metrics.per_label": {"arrays": (VALUES["risk"], VALUES["uncertainty"])},
    "conformal.fit_precision": {"groups": None, "level": 0.9},
    "conformal.fit_precision_per_label": {"groups": None, "level": 0.9},
    "metrics.ece_interval": {"level": 0.9},
    "metrics.bootstrap": {"level": 0.9},
    "metrics.paired_bootstrap": {"level": 0.9},
    "calibration.choose": {"candidates": ("none", "platt")},
}
# Those that take no array of samples by labels, and so no names.
PLAIN = {
    "calibration.max_slope": "takes a fitted state alone",
    "uncertainty.latent_noise": "takes a Gaussian",
    "plots.colors": "takes a number",
    "plots.mean_lines": "takes curves over positions",
    "plots.risk_coverage": "takes curves over coverage",
    "plots.training_curves": "takes a history",
    "plots.modality_weights": "takes weights of three axes, tested apart",
    "plots.latent_ellipses": "takes latent coordinates, tested apart",
    "plots.latent_panels": "takes latent coordinates",
    "plots.robustness_curves": "takes scores of models",
    "plots.timeline": "takes weights and uncertainties along time",
    "losses.empty_bank": "takes sizes",
    "losses.enqueue": "takes features",
    "losses.initial_bank": "takes configurations",
    "losses.objective": "takes a prediction and a batch",
    "losses.spread_calibration": "takes latent spreads",
    "losses.supervised_contrastive": "takes features",
}


def public():
    """Name -> function, of all rooms that work on arrays."""
    rooms = (metrics, calibration, conformal, thresholds, scaling, uncertainty, plots, losses)
    for room in rooms:
        names = getattr(room, "__all__", [name for name in vars(room) if name[0] != "_"])
        for name in names:
            function = getattr(room, name)
            own = inspect.isfunction(function) and function.__module__.startswith("lddu")
            if own and name != "named":
                yield f"{room.__name__.rpartition('.')[2]}.{name}", function


FUNCTIONS = dict(public())
MATCHING = {name: f for name, f in FUNCTIONS.items() if name not in PLAIN}


def test_every_function_is_matched_or_has_a_reason_not_to_be():
    assert set(PLAIN) <= set(FUNCTIONS)
    for name, function in MATCHING.items():
        assert getattr(function, "takes_names", False), f"{name} takes arrays: make it @named"
        unknown = set(inspect.signature(function).parameters) & (set(ROLES) | set(LISTS))
        assert unknown, f"{name} has no argument of a known role"


def plain_arguments(name, function):
    """Keyword and positional arguments of a call, all of them arrays without names."""
    parameters = inspect.signature(function).parameters
    given = VALUES | OWN.get(name, {})
    values = {key: given[key] for key in parameters if key in given}
    if "state" in parameters:
        values["state"] = fitted(name)
    return values


@functools.cache
def fitted(name, labels=None):
    """The state that an apply function takes, fitted on plain arrays."""
    kind = name.removeprefix("calibration.apply").removeprefix("scaling.apply").lstrip("_")
    if name == "conformal.apply":
        return conformal.fit_false_negative_rate_per_label(PROBS, TRUE, 0.3)
    return getattr(calibration, f"fit_{kind or 'matrix'}")(LOGITS, TRUE)


def call(function, values):
    """Calls a function by position where it takes any number of arrays, else by name."""
    values = dict(values)
    star = next((p.name for p in inspect.signature(function).parameters.values() if p.kind == 2), 0)
    if not star:
        return function(**values)
    before = [p for p in inspect.signature(function).parameters if p in values]
    before = [values.pop(p) for p in before[: before.index(star)]]
    return function(*before, *values.pop(star), **values)


def named(frames, value, where, columns=None, turn=1):
    """An array with names in another order: columns by `where`, rows likewise if they have names.

    Each array of a tuple or list is turned by `turn` more than the one before it.
    """
    if isinstance(value, (tuple, list)):
        parts = [named(frames, x, np.roll(where, turn * i), columns) for i, x in enumerate(value)]
        return type(value)(parts)
    if isinstance(value, dict):
        return {key: named(frames, x, where, columns) for key, x in value.items()}
    rows = np.random.default_rng(int(where[0])).permutation(len(ROWS))
    rows = rows if frames.indexed and where[0] else np.arange(len(ROWS))
    own = [ROWS[i] for i in rows]
    if np.ndim(value) == 2:
        names = [(columns or LABELS)[c] for c in where]
        return frames.table(np.asarray(value)[rows][:, where], names, own)
    if not frames.indexed:
        return value
    if len(value) == len(ROWS):
        return frames.vector(np.asarray(value)[rows], own)
    return frames.vector(np.asarray(value)[where], [(columns or LABELS)[c] for c in where])


def carries_names(key, value):
    return key in ROLES and (isinstance(value, (np.ndarray, tuple, list, dict)))


def content(result):
    """Everything that a result holds, as a list of plain arrays."""
    if isinstance(result, Figure):
        return [x for ax in result.axes for x in content(ax)]
    if isinstance(result, Axes):
        drawn = [line.get_xydata() for line in result.lines]
        drawn += [np.ma.filled(image.get_array(), 0) for image in result.images]
        legend = result.get_legend()
        texts = [] if legend is None else [text.get_text() for text in legend.get_texts()]
        return [*drawn, *(np.array([*map(ord, x)], float) for x in [result.get_title(), *texts])]
    if isinstance(result, dict):
        return content(list(result.values()))
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in content(part)]
    if hasattr(result, "to_numpy") or isinstance(result, (np.ndarray, jax.Array)):
        values = result.to_numpy() if hasattr(result, "to_numpy") else np.asarray(result)
        return [np.squeeze(values)]  # polars has vectors of labels as a table of one row
    return [result]


def assert_same(got, want):
    got, want = content(got), content(want)
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        if isinstance(y, (str, type(None))):
            assert x == y
        else:
            np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), rtol=1e-5)


@pytest.mark.parametrize("name", MATCHING)
def test_any_order_of_names_gives_the_same(name, frames):
    function = MATCHING[name]
    values = plain_arguments(name, function)
    want = call(function, values)
    turn = 0
    arguments = {}
    for key, value in values.items():
        if carries_names(key, value):
            arguments[key] = named(frames, value, np.roll(np.arange(3), turn))
            turn += 1
        else:
            arguments[key] = value
    assert turn
    assert_same(call(function, arguments), want)


def labelled(frames, values):
    """(argument, its place in a tuple or list or None) of every array with names of labels."""
    for key, value in values.items():
        if not carries_names(key, value):
            continue
        for i, x in enumerate(value if isinstance(value, (tuple, list)) else [value]):
            if np.ndim(x) == 2 or (frames.indexed and np.shape(x) == (len(LABELS),)):
                yield key, i if isinstance(value, (tuple, list)) else None


@pytest.mark.parametrize("name", MATCHING)
def test_other_names_are_refused_with_both_lists(name, frames):
    function = MATCHING[name]
    values = plain_arguments(name, function)
    same, other = np.arange(3), ("joy", "bliss", "anger")
    arguments = {
        key: named(frames, value, same, turn=0) if carries_names(key, value) else value
        for key, value in values.items()
    }
    places = list(labelled(frames, values))
    for key, i in places if len(places) + ("names" in values) > 1 else []:
        wrong = named(frames, values[key] if i is None else values[key][i], same, other)
        if i is not None:
            parts = list(arguments[key])
            parts[i] = wrong
            wrong = type(values[key])(parts)
        with pytest.raises(ValueError, match="name different labels") as caught:
            call(function, arguments | {key: wrong})
        assert str(list(other)) in str(caught.value)
        assert str(list(LABELS)) in str(caught.value)


@pytest.mark.parametrize("name", MATCHING)
def test_other_rows_are_refused(name, frames):
    if not frames.indexed:
        pytest.skip("rows have no names")
    function = MATCHING[name]
    values = plain_arguments(name, function)
    keys = [key for key, value in values.items() if carries_names(key, value)]
    arguments = values | {key: named(frames, values[key], np.arange(3)) for key in keys}
    of_rows = [key for key in keys if np.shape(values[key])[:1] == (len(ROWS),)]
    for key in of_rows if len(of_rows) > 1 else []:
        own = (*ROWS[:-1], "another")
        value = values[key]
        build = frames.table if value.ndim == 2 else frames.vector
        wrong = frames.table(value, LABELS, own) if value.ndim == 2 else build(value, own)
        with pytest.raises(ValueError, match=r"name different rows.*'another'"):
            call(function, arguments | {key: wrong})
