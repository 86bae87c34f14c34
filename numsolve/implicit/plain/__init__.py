"""Derivatives of solutions as products of plain arrays (NumPy, CuPy, others), and their linear solvers."""
