"""Models in memory: the pool, what goes first, batches; below it the processes of models, and the jail of these."""
