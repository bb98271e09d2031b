"""The same with the compiled model, which loads faster: ``predict_once_onnx.py ONNX_FILE``."""

import json
import sys

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
rows = np.array(json.load(sys.stdin)["instances"], np.float64)
(labels,) = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: rows})
print(json.dumps({"predictions": labels.tolist()}))
