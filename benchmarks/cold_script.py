"""Read and load compiled files one after the other, in a process that did so before: ``cold_script.py FILE …``.

Prints a line of JSON: the seconds each of them took, from opening the file to a session that is ready.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def load(path: str) -> float:
    """Return how long reading and loading took; the session predicts once to show that it does."""
    began = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(Path(path).read_bytes(), options, providers=["CPUExecutionProvider"])
    (node,) = session.get_inputs()
    session.run(None, {node.name: np.zeros((1, node.shape[1]), np.float64)})
    return time.perf_counter() - began


def main() -> None:
    """Do it, after the libraries have made what they need once."""
    files = sys.argv[1:]
    load(files[0])
    print(json.dumps([load(file) for file in files]))


if __name__ == "__main__":
    main()
