"""The pages of models: the list, one model with its pool, versions side by side, and what their buttons do."""
