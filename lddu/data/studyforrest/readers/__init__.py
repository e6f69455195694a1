"""Readers of the raw files and of the benchmark file, one kind a module."""
