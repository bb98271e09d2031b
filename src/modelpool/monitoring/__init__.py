"""What is seen of the work: which versions are used how often, and what is loaded where."""
