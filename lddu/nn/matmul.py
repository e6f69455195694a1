"""Matrix products of training, with gradients in the order that suits a compiler for CPUs.

For `a @ b` JAX computes the gradient of b as (g^T a)^T, from the gradient g of the product. XLA
reorders g for it, and after dropout g is still a formula, of hashed bits: computed once more,
column by column, it took an eighth of a training step. Here it is a^T g, and a is reordered.
The price: a function with a rule for its gradient has none for `jax.jvp`.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Axes = tuple[int, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def product(a: Array, b: Array, dtype: Any = None, precision: Any = None) -> Array:
    """`jnp.matmul` of (..., n, k) and (..., k, m), with the same axes in front.

    Args:
      a: The left factor; the one whose transpose costs less where it matters.
      b: The right factor.
      dtype: Of the result and of the sums in it; None for that of the factors.
      precision: As in `jnp.matmul`.
    """
    return jnp.matmul(a, b, precision=precision, preferred_element_type=dtype)


def _forward(a, b, dtype, precision):
    return product(a, b, dtype, precision), (a, b)


def _backward(dtype, precision, factors, g):
    a, b = factors
    of_a = jnp.matmul(g, jnp.swapaxes(b, -1, -2), precision=precision)
    of_b = jnp.matmul(jnp.swapaxes(a, -1, -2), g, precision=precision)
    return of_a.astype(a.dtype), of_b.astype(b.dtype)


product.defvjp(_forward, _backward)


def dense_product(
    x: Array,
    kernel: Array,
    dimension_numbers: tuple[tuple[Axes, Axes], tuple[Axes, Axes]],
    precision: Any = None,
) -> Array:
    """`product` of features (..., D) and a kernel (D, ...), as the `dot_general` of `nn.Dense`.

    Args:
      x: Features; D may be several axes.
      kernel: Of a layer.
      dimension_numbers: As in `jax.lax.dot_general`: the last axes of `x` and the first of
        `kernel`, no others.
      precision: As in `jax.lax.dot_general`.
    """
    (of_x, of_kernel), _ = dimension_numbers
    lead, outputs = x.shape[: x.ndim - len(of_x)], kernel.shape[len(of_kernel) :]
    width = math.prod(kernel.shape[: len(of_kernel)])
    y = product(x.reshape(-1, width), kernel.reshape(width, -1), None, precision)
    return y.reshape(*lead, *outputs)
