"""Groups stay whole, shares are kept, and a seed gives the same splits."""

import numpy as np
import pytest

from lddu.data import split

SHARES = np.array([0.8, 0.1, 0.1])
NAMES = np.array(["train", "valid", "test"])


def draw(seed, rows=2000, labels=6, groups=200):
    """Labels whose frequencies differ between groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=rows)
    logit = rng.uniform(-3, 0, labels) + rng.normal(size=(groups, labels))[group]
    return (rng.random((rows, labels)) < 1 / (1 + np.exp(-logit))).astype(float), group


def deviation(labels, chosen):
    """Mean distance of a split's label shares from those of all rows."""
    means = np.stack([labels[chosen == name].mean(0) for name in NAMES])
    return np.abs(means - labels.mean(0)).mean()


def at_random(groups, seed):
    """Groups in random order, cut at the shares."""
    names, member = np.unique(groups, return_inverse=True)
    cut = np.repeat(NAMES, (len(names) * SHARES).round().astype(int))
    return np.random.default_rng(seed).permutation(cut)[member]


def test_groups_are_whole_and_seeds_repeat():
    labels, groups = draw(0)
    chosen = split(labels, groups, seed=3)
    assert all(len(set(chosen[groups == group])) == 1 for group in np.unique(groups))
    np.testing.assert_array_equal(chosen, split(labels, groups, seed=3))
    np.testing.assert_array_equal(chosen, split(labels, np.char.mod("g%04d", groups), seed=3))
    assert any((split(labels, groups, seed=s) != chosen).any() for s in range(4, 8))


def test_label_shares_are_closer_than_at_random():
    # Over 20 draws the mean deviation is a fifth of chance's; half of it leaves > 10 deviations.
    made, chance = [], []
    for seed in range(20):
        labels, groups = draw(seed)
        made.append(deviation(labels, split(labels, groups, seed=seed)))
        chance.append(deviation(labels, at_random(groups, seed)))
    assert np.mean(made) < np.mean(chance) / 2


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.3, 0.2)])
def test_equal_groups_keep_the_shares_of_rows_and_labels(shares):
    # Any place that is below its share takes the next group, so no count is off by a group or more.
    rows = 300
    labels = np.eye(3)[np.arange(rows) % 3]
    chosen = split(labels, shares=shares)
    for name, share in zip(NAMES, shares, strict=True):
        assert abs((chosen == name).sum() - share * rows) <= 3
        assert np.abs(labels[chosen == name].sum(0) - share * rows / 3).max() <= 2


def test_unknown_and_soft_labels_and_labels_that_never_occur():
    labels, groups = draw(1, rows=400)
    labels *= 0.7
    labels[::7] = np.nan
    labels[:, 2] = 0
    chosen = split(labels, groups)
    assert set(chosen) == set(NAMES)


WRONG = {
    "labels": ((np.ones(4),), {}, r"labels have shape \(4,\), expected \(rows, labels\)"),
    "groups": ((np.ones((4, 1)), np.ones(3)), {}, r"groups have shape \(3,\), expected \(4,\)"),
    "sum": ((np.ones((4, 1)),), {"shares": (0.5, 0.1, 0.1)}, "three numbers above 0 that add up"),
    "zero": ((np.ones((4, 1)),), {"shares": (0.9, 0.1, 0)}, "three numbers above 0 that add up"),
    "few": ((np.ones((4, 1)), [1, 1, 2, 2]), {}, "2 groups cannot fill 3 splits"),
    "large": ((np.ones((9, 1)), [1, 2, 3] * 3), {}, "'valid' would be empty; give it a larger"),
}


@pytest.mark.parametrize(("args", "kwargs", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_divided(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        split(*args, **kwargs)
