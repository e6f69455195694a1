"""Readers of CMU-MOSEI's file layouts, one a module; `layouts` tells which one a file has."""
