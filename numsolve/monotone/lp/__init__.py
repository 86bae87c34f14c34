"""Linear programs and matrix games by restarted, reflected Halpern iterations of PDHG."""
