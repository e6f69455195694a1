"""Flax modules: encoder, label-wise attention, pooled statistics, latent Gaussians, label heads."""
