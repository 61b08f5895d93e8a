"""The raw files of a data set: where to get them, how to read them, how to split them."""
