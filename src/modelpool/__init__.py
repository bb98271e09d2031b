"""Modelpool trains, keeps and serves pools of machine-learning models for many tenants."""

import os

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # ONNX Runtime reports to its maker, from a thread, unless told not to

__version__ = "0.1.0"
