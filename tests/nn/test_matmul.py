import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.nn.matmul import dense_product, product

SHAPES = [((5, 3), (3, 4)), ((2, 6, 5, 3), (2, 6, 3, 4))]


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def dots(function, *args):
    """The products in a traced function, each by the axes that it sums over."""
    found = []

    def look(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                found.append(equation.params["dimension_numbers"][0])
            for value in equation.params.values():
                if hasattr(inner := getattr(value, "jaxpr", value), "eqns"):
                    look(inner)

    look(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@pytest.mark.parametrize("shapes", SHAPES)
def test_values_and_gradients_are_those_of_matmul(shapes):
    a, b, weight = draw(*shapes, (*shapes[0][:-1], shapes[1][-1]))

    def total(function):
        return lambda a, b: (function(a, b) * weight).sum()

    np.testing.assert_array_equal(product(a, b), jnp.matmul(a, b))
    got = jax.grad(total(product), (0, 1))(a, b)
    want = jax.grad(total(jnp.matmul), (0, 1))(a, b)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    jitted = jax.jit(jax.grad(total(product), (0, 1)))(a, b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), jitted, got)


def test_the_gradient_of_the_right_factor_is_not_made_of_the_transposed_cotangent():
    # What the function is for: every product sums over the last axis of its left factor.
    a, b = draw(*SHAPES[0])
    ours = dots(jax.grad(lambda a, b: product(a, b).sum(), (0, 1)), a, b)
    theirs = dots(jax.grad(lambda a, b: (a @ b).sum(), (0, 1)), a, b)
    assert ours == [((1,), (0,))] * 3
    assert ((0,), (0,)) in theirs  # g^T a


def test_vectorised_over_members():
    a, b = draw((4, 5, 3), (4, 3, 2))
    slope = jax.grad(lambda a, b: jnp.square(product(a, b)).sum(), (0, 1))
    got = jax.vmap(slope)(a, b)
    for i in range(4):
        for ours, alone in zip(got, slope(a[i], b[i]), strict=True):
            np.testing.assert_allclose(ours[i], alone, rtol=1e-5, atol=1e-6)


def test_half_precision_is_summed_in_float32_on_request():
    a, b = (jnp.asarray(x, jnp.bfloat16) for x in draw((5, 300), (300, 4)))
    got = product(a, b, jnp.float32)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, a.astype(jnp.float32) @ b.astype(jnp.float32), atol=1e-4)
    slopes = jax.grad(lambda a, b: product(a, b, jnp.float32).sum(), (0, 1))(a, b)
    assert [x.dtype for x in slopes] == [jnp.bfloat16] * 2
    assert product(a, b).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("x", "kernel", "axes"),
    [((2, 5, 3), (3, 4), ((2,), (0,))), ((2, 5, 6, 3), (6, 3, 4), ((2, 3), (0, 1)))],
)
def test_a_dense_layer_computes_the_same(x, kernel, axes):
    x, kernel = draw(x, kernel)
    numbers = (axes, ((), ()))

    def total(function):
        return lambda x, kernel: jnp.sin(function(x, kernel, numbers)).sum()

    want = jax.lax.dot_general(x, kernel, numbers)
    np.testing.assert_allclose(dense_product(x, kernel, numbers), want, rtol=1e-5, atol=1e-6)
    got = jax.grad(total(dense_product), (0, 1))(x, kernel)
    for ours, theirs in zip(
        got, jax.grad(total(jax.lax.dot_general), (0, 1))(x, kernel), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
