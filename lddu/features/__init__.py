"""From raw input to (T, D) feature arrays; data sets take such a function as an argument."""
