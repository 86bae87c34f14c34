"""Benchmarks: the asv suites ``bench_<area>.py``, and side-by-side scripts with the peers in ``peers/``."""
