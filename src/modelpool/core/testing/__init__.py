"""Contract checks of the seams; authors of plug-ins run them too."""
