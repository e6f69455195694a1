"""Flax modules: encoder, label attention, pooled statistics, latents, fusion, heads."""
