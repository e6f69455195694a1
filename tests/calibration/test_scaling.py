import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit

from lddu.calibration import apply_temperature, fit_temperature, scaling

LIMIT = np.log(100)


N = 20  # one shape, so that everything is compiled once


def simulate(temperature, seed=0, anchor=0.0):
    """Logits that are over-confident around `anchor` by a factor, and their expected labels.

    With those, the true temperature has the highest likelihood, whatever the logits.
    """
    true = np.random.default_rng(seed).normal(size=(N, 3)) * 1.5 + anchor
    return (anchor + (true - anchor) * temperature).astype(np.float32), expit(true)


def objective(log_t, logits, labels, anchor=0.0, shrinkage=0.0):
    """The documented objective in float64."""
    z = anchor + (logits.astype(np.float64) - anchor) * np.exp(-log_t)
    return np.sum(np.logaddexp(0, z) - labels * z) + shrinkage / 2 * log_t**2


def oracle(*args):
    """scipy's best log T: a fine grid, then a bounded search around its best point."""
    grid = np.linspace(-LIMIT, LIMIT, 401)
    best = grid[np.argmin([objective(u, *args) for u in grid])]
    bounds = max(best - 0.05, -LIMIT), min(best + 0.05, LIMIT)
    return minimize_scalar(
        objective, bounds=bounds, args=args, method="bounded", options={"xatol": 1e-9}
    ).x


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_recovers_the_true_temperature(true):
    state = fit_temperature(*simulate(true))
    assert state.temperature.shape == ()
    assert state.temperature == pytest.approx(true, rel=1e-3)


def test_recovers_one_temperature_per_label_around_an_anchor():
    true, anchor = np.array([0.5, 1.0, 4.0]), np.array([-2.0, 0.0, 1.0])
    logits, labels = simulate(true, anchor=anchor)
    state = fit_temperature(logits, labels, per_label=True, anchor=anchor)
    np.testing.assert_allclose(state.temperature, true, rtol=1e-3)
    np.testing.assert_allclose(state.anchor, anchor)


@pytest.mark.parametrize("shrinkage", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_scipy(seed, shrinkage):
    anchor = np.array([-1.0, 0.5, 0.0], np.float32)
    logits, labels = simulate(2.5, seed)
    rng = np.random.default_rng(1)
    labels[:, :2] = rng.random((N, 2)) < labels[:, :2]  # hard
    labels[:, 2] = rng.random(N)
    state = fit_temperature(logits, labels, True, anchor, shrinkage)
    want = [oracle(logits[:, c], labels[:, c], anchor[c], shrinkage) for c in range(3)]
    np.testing.assert_allclose(np.log(state.temperature), want, atol=2e-3)
    shared = fit_temperature(logits, labels, False, anchor, shrinkage)
    want = oracle(logits, labels, anchor, shrinkage)
    assert np.log(shared.temperature) == pytest.approx(want, abs=2e-3)


def test_finds_the_deeper_of_two_valleys():
    # The likelihood pulls to T = 0.01 (separable), but is flat at T = 1, where the prior pulls:
    # for 0.15 and 0.2 both places are minima, and which is the deeper changes between them.
    logits = np.array([[0.02], [-0.02], [0.03]], np.float32)
    labels = np.array([[1], [0], [1]], np.float32)
    for shrinkage in (0.1, 0.15, 0.2, 1.0):
        grid = np.linspace(-LIMIT, LIMIT, 4001)
        values = [objective(u, logits, labels, 0.0, shrinkage) for u in grid]
        got = np.log(fit_temperature(logits, labels, shrinkage=shrinkage).temperature)
        assert objective(float(got), logits, labels, 0.0, shrinkage) <= min(values) + 1e-5


def test_fitted_data_never_get_worse():
    rng = np.random.default_rng(0)
    for seed in range(30):
        rows, spread = (3, N)[seed // 2 % 2], 10 ** rng.uniform(-2, 2)
        logits = (rng.normal(size=(N, 3)) * spread).astype(np.float32)
        labels = rng.integers(0, 2, size=(N, 3)).astype(np.float32)
        anchor = rng.normal(size=3).astype(np.float32)
        used = np.arange(N) < rows
        state = fit_temperature(logits, labels, seed % 2 == 0, anchor, seed % 3, used)
        scaled = np.asarray(apply_temperature(state, logits), np.float64)[used]
        after = np.sum(np.logaddexp(0, scaled) - labels[used] * scaled)
        before = objective(0.0, logits[used], labels[used])
        assert after <= before * (1 + 1e-5) + 1e-5


def test_degenerate_data_have_a_defined_result():
    logits = np.array([[1.0, -1.0, 2.0, 0.5], [-1.0, -2.0, -2.0, 0.5]], np.float32)
    labels = np.array([[1, 0, 0, 1], [0, 0, 1, 0]], np.float32)
    # Separable, one class on the right side, all wrong, and no information in the logits at all.
    anchor = np.array([0, 0, 0, 0.5])
    fitted = fit_temperature(logits, labels, per_label=True, anchor=anchor)
    np.testing.assert_allclose(fitted.temperature, [0.01, 0.01, 100, 1], rtol=1e-4)
    steadied = fit_temperature(logits, labels, per_label=True, anchor=anchor, shrinkage=1e4)
    np.testing.assert_allclose(steadied.temperature, 1, atol=1e-3)


def test_the_anchor_keeps_rare_labels_rare():
    logits = np.linspace(-8, 4, 3 * N, dtype=np.float32).reshape(N, 3)
    labels = np.full((N, 3), 0.05)  # unrelated to the logits
    base = np.full(3, np.log(0.05 / 0.95))
    anchored = fit_temperature(logits, labels, anchor=base)
    classical = fit_temperature(logits, labels)
    np.testing.assert_allclose(expit(apply_temperature(anchored, logits)), 0.05, atol=0.01)
    assert expit(apply_temperature(classical, logits)).mean() > 4 * 0.05


def test_apply_by_hand_and_on_any_leading_axes():
    state = scaling.Temperature(jnp.array([2.0, 4.0]), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(apply_temperature(state, [[3.0, 3.0]]), [[1.5, 1.5]])
    assert apply_temperature(state, np.zeros((5, 4, 2))).shape == (5, 4, 2)
    with pytest.raises(ValueError, match=r"logits has shape \(2, 3\).*2 labels"):
        apply_temperature(state, np.zeros((2, 3)))


@pytest.mark.parametrize("per_label", [False, True])
def test_jit_changes_nothing(per_label):
    logits, labels = simulate(2.0)

    @jax.jit
    def both(logits, labels, shrinkage):
        state = fit_temperature(logits, labels, per_label, shrinkage=shrinkage)
        return state, apply_temperature(state, logits)

    state = fit_temperature(logits, labels, per_label, shrinkage=1.0)
    jitted, scaled = both(logits, labels, 1.0)
    np.testing.assert_allclose(jitted.temperature, state.temperature, rtol=1e-4)
    np.testing.assert_allclose(scaled, apply_temperature(state, logits), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 3))}, r"logits \(4, 2\), labels \(4, 3\)"),
        ({"labels": np.full((4, 2), 2.0)}, r"labels \(4, 2\) must lie in \[0, 1\]"),
        ({"logits": np.full((4, 2), np.inf)}, r"logits \(4, 2\) holds 8 NaN or infinite"),
        ({"anchor": np.zeros(3)}, r"anchor has shape \(3,\).*\(2,\)"),
        ({"anchor": np.nan}, "anchor .* NaN"),
        ({"shrinkage": -1.0}, "shrinkage=-1.0 must be finite and >= 0"),
    ],
)
def test_bad_input(change, message):
    arguments = {"logits": np.zeros((4, 2)), "labels": np.zeros((4, 2))} | change
    with pytest.raises(ValueError, match=message):
        fit_temperature(**arguments)
