"""Estimator to ONNX, proven equal on data before it may serve."""
