"""The status codes that compiled loops return: the values of `Status`, as constants for kernels."""

#: Only the chunk is used up; the run goes on.
RUNNING = -1
CONVERGED = 0
MAXITER = 1
INFEASIBLE = 2
UNBOUNDED = 3
BREAKDOWN = 4
ROUNDING = 5
STAGNATED = 6
DIVERGED = 7
NONFINITE = 8
STOPPED = 9
TIME_LIMIT = 10
INTERRUPTED = 11
