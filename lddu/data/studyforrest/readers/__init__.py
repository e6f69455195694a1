"""Readers of studyforrest's raw files and of the benchmark file, one kind per module."""
