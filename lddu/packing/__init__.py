"""Samples that share rows, so that work follows true lengths instead of padding."""
