import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.nn.matmul import dense_matmul, matmul

SHAPES = [((5, 3), (3, 4)), ((2, 6, 5, 3), (2, 6, 3, 4))]
close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-5)


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

    @jax.jit
    def run(a, b):
        def total(function):
            return lambda a, b: (function(a, b) * weight).sum()

        return [
            (function(a, b), jax.grad(total(function), (0, 1))(a, b))
            for function in (matmul, jnp.matmul)
        ]

    ours, theirs = run(a, b)
    close(ours, theirs)
    close(matmul(a, b), a @ b)  # eagerly, too


def test_the_gradient_of_the_right_factor_is_not_made_of_the_transposed_cotangent():
    # The purpose of the function: every product sums over the last axis of its left factor.
    a, b = draw(*SHAPES[0])
    ours = dots(jax.grad(lambda a, b: matmul(a, b).sum(), (0, 1)), a, b)
    theirs = dots(jax.grad(lambda a, b: (a @ b).sum(), (0, 1)), a, b)
    assert ours == [((1,), (0,))] * 3
    assert ((0,), (0,)) in theirs  # g^T a


def test_vectorised_over_members():
    a, b = draw((4, 5, 3), (4, 3, 2))
    slope = jax.grad(lambda a, b: jnp.square(matmul(a, b)).sum(), (0, 1))
    got = jax.jit(jax.vmap(slope))(a, b)
    product = a.astype(np.float64) @ b
    close(got, (2 * product @ b.swapaxes(1, 2), 2 * a.swapaxes(1, 2) @ product))


def test_half_precision_is_summed_in_float32_on_request():
    a, b = (jnp.asarray(x, jnp.bfloat16) for x in draw((5, 300), (300, 4)))

    @jax.jit
    def run(a, b):
        slopes = jax.grad(lambda a, b: matmul(a, b, jnp.float32).sum(), (0, 1))(a, b)
        return matmul(a, b, jnp.float32), slopes

    got, slopes = run(a, b)
    assert got.dtype == jnp.float32
    want = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)  # of 300 terms of order one
    assert [x.dtype for x in slopes] == [jnp.bfloat16] * 2
    assert jax.eval_shape(matmul, a, b).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("x", "kernel", "axes"),
    [((2, 5, 3), (3, 4), ((2,), (0,))), ((2, 5, 6, 3), (6, 3, 4), ((2, 3), (0, 1)))],
)
def test_a_dense_layer_computes_the_same(x, kernel, axes):
    x, kernel = draw(x, kernel)
    numbers = (axes, ((), ()))

    @jax.jit
    def run(x, kernel):
        def total(function):
            return lambda x, kernel: jnp.sin(function(x, kernel, numbers)).sum()

        return [
            (function(x, kernel, numbers), jax.grad(total(function), (0, 1))(x, kernel))
            for function in (dense_matmul, jax.lax.dot_general)
        ]

    close(*run(x, kernel))
