"""Matrix products of training, with gradients in the order that suits a compiler for CPUs.

For `a @ b` JAX computes the gradient of b as (g^T a)^T, from the gradient g of the product. XLA
transposes g for that; after dropout g is an unevaluated formula of hashed bits, which is then
computed a second time, column by column. Here the gradient is a^T g, and a is transposed instead.
A function with its own gradient rule does not support `jax.jvp`.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Axes = tuple[int, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def matmul(a: Array, b: Array, dtype: Any = None, precision: Any = None) -> Array:
    """Computes `jnp.matmul` of (..., n, k) and (..., k, m), which have the same leading axes.

    Args:
      a: Left factor; the one whose transpose costs less where it matters.
      b: Right factor.
      dtype: Number type of the result and of the sums in it; None for that of the factors.
      precision: Precision of the product, as in `jnp.matmul`.

    Returns:
      (..., n, m).
    """
    return jnp.matmul(a, b, precision=precision, preferred_element_type=dtype)


def _forward(a, b, dtype, precision):
    return matmul(a, b, dtype, precision), (a, b)


def _backward(dtype, precision, factors, g):
    a, b = factors
    of_a = jnp.matmul(g, jnp.swapaxes(b, -1, -2), precision=precision)
    of_b = jnp.matmul(jnp.swapaxes(a, -1, -2), g, precision=precision)
    return of_a.astype(a.dtype), of_b.astype(b.dtype)


matmul.defvjp(_forward, _backward)


def dense_matmul(
    x: Array,
    kernel: Array,
    dimension_numbers: tuple[tuple[Axes, Axes], tuple[Axes, Axes]],
    precision: Any = None,
) -> Array:
    """Applies `matmul` to features (..., D) and a kernel (D, ...), as `dot_general` of `nn.Dense`.

    Args:
      x: Features; D may be several axes.
      kernel: Kernel of a layer.
      dimension_numbers: Contracted axes as in `jax.lax.dot_general`: the last axes of `x` and the
        first of `kernel`, without batch axes.
      precision: Precision of the product, as in `jax.lax.dot_general`.

    Returns:
      The axes of `x` and of `kernel` that are not contracted, in this order.
    """
    (of_x, of_kernel), _ = dimension_numbers
    lead, outputs = x.shape[: x.ndim - len(of_x)], kernel.shape[len(of_kernel) :]
    width = math.prod(kernel.shape[: len(of_kernel)])
    y = matmul(x.reshape(-1, width), kernel.reshape(width, -1), None, precision)
    return y.reshape(*lead, *outputs)
