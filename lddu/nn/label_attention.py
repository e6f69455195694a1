"""Label-wise attention: one feature vector per label from a sequence of states."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lddu.nn.dropout import Dropout
from lddu.nn.softmax import masked_softmax
from lddu.packing.layout import lay_out
from lddu.packing.structs import Packing


class LabelAttention(nn.Module):
    """Attention over the steps with a query per label: LDDU's emotion-specific module.

    One projection of the states serves as key and value, with a single head.

    Attributes:
      dropout: Dropout rate on what is attended.

    References:
      Huang et al., arXiv:2502.13954, section 3.3.
    """

    dropout: float = 0.1

    @nn.compact
    def __call__(
        self,
        labels: Array,
        states: Array,
        mask: Array,
        deterministic: bool,
        packing: Packing | None = None,
    ) -> Array:
        """Reads one feature vector per label out of the states.

        Args:
          labels: (C, hidden) label embeddings, shared by all modalities.
          states: (B, T, hidden) encoder states, or (R, T, hidden) where packed.
          mask: (B, T) bool, True at real steps.
          deterministic: Whether to leave out dropout.
          packing: Where the samples' steps lie, or None where they are padded.

        Returns:
          (B, C, hidden) in float32; a sample without any real step gives the output bias alone.
        """
        hidden, dtype = states.shape[-1], states.dtype
        states = lay_out(mask, packing).unpack(states)
        states = jnp.where(mask[..., None], states, 0)  # padding may hold NaN
        query = nn.Dense(hidden, name="query")(labels) * (1.0 / math.sqrt(hidden))
        # With memory = states W + b, the scores are (query W^T) . states plus a constant, and the
        # attended memory is W applied to the average state. So W multiplies C vectors, not T.
        kernel, bias = _Weights(hidden, name="memory")()
        query = (query @ kernel.T).astype(dtype)
        precise = jnp.promote_types(dtype, jnp.float32)
        scores = jnp.einsum("cd,btd->bct", query, states, preferred_element_type=precise)
        weights = masked_softmax(scores, mask[:, None, :])
        average = jnp.einsum(
            "bct,btd->bcd", weights.astype(dtype), states, preferred_element_type=precise
        )
        attended = average @ kernel + weights.sum(-1, keepdims=True) * bias
        attended = Dropout(self.dropout)(attended, deterministic)
        return nn.Dense(hidden, name="out")(attended)


class _Weights(nn.Module):
    """The parameters of an `nn.Dense` from `width` to `width`."""

    width: int

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        kernel = self.param("kernel", nn.linear.default_kernel_init, (self.width, self.width))
        return kernel, self.param("bias", nn.initializers.zeros_init(), (self.width,))
