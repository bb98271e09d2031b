"""Which version of a pool is active: one file per policy."""
