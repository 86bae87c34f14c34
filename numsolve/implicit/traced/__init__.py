"""Derivatives of solutions under JAX: a wrapped solver, products, linear solvers for traced operators."""
