"""Sparse transport plans: quadratic regularisation, and a limit on the nonzeros of a column."""
