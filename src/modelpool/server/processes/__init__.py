"""The tree of processes: prepared, started, supervised, drained."""
