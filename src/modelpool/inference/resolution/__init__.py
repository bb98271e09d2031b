"""Who asks, and which version answers: read once, cached, and kept true by the change feed."""
