"""The rows of the table: one function each, settings in, an outcome out."""
