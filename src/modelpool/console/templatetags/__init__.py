"""What the console's templates load."""
