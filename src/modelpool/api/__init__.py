"""The wires: REST, later the Open Inference Protocol and MLflow; siblings that are blind to each other."""
