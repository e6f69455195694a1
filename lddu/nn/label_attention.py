"""Label-wise attention: one feature vector per label from a sequence of states."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lddu.nn.encoder import masked_softmax


class LabelAttention(nn.Module):
    """Each label attends over the steps with its own query (LDDU's emotion-specific module).

    One projection of the states serves as key and value, with a single head.

    References:
      Huang et al., arXiv:2502.13954, section 3.3.
    """

    dropout: float = 0.1

    @nn.compact
    def __call__(self, labels: Array, states: Array, mask: Array, deterministic: bool) -> Array:
        """Attends.

        Args:
          labels: (C, hidden) label embeddings, shared by all modalities.
          states: (B, T, hidden) encoder states.
          mask: (B, T) bool, True at real steps.
          deterministic: Without dropout.

        Returns:
          (B, C, hidden); a sample without any real step yields the output bias alone.
        """
        hidden = states.shape[-1]
        states = jnp.where(mask[..., None], states, 0.0)  # padding may hold NaN
        query = nn.Dense(hidden, name="query")(labels)
        memory = nn.Dense(hidden, name="memory")(states)
        logits = jnp.einsum("cd,btd->bct", query, memory) / jnp.sqrt(hidden).astype(states.dtype)
        weights = masked_softmax(logits, mask[:, None, :])
        attended = jnp.einsum("bct,btd->bcd", weights, memory)
        attended = nn.Dropout(self.dropout)(attended, deterministic)
        return nn.Dense(hidden, name="out")(attended)
