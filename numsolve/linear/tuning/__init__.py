"""Tuners that choose a setting before each solve, and the solvers of sequences that ask them."""
