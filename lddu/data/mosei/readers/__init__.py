"""Readers of CMU-MOSEI's file layouts, one per module; `layouts` detects which one a file has."""
