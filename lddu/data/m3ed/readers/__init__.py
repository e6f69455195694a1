"""Readers of M3ED's files, one layout per module."""
