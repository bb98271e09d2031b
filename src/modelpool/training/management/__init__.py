"""Commands of the training app."""
