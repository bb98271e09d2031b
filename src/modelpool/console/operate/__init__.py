"""What those do who run the installation."""
