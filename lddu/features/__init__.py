"""From raw input to (T, D) feature arrays, by functions that data sets take as an argument."""
