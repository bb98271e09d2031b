"""What is told of predictions: counts, what is held and used, and how versions compare."""
