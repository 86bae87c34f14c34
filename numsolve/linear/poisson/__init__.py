"""Poisson's equation on grids with obstacles: multigrid-preconditioned CG, deep conjugate directions."""
