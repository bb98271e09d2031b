"""Models in memory and in child processes: the pool, isolation, limits."""
