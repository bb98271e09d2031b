"""What a service in another language starts for each request: load the model, predict, end.

``predict_once.py MODEL_FILE`` reads ``{"instances": [[...]]}`` from its input and writes ``{"predictions": [...]}``.
"""

import json
import sys

import joblib

estimator = joblib.load(sys.argv[1])
print(json.dumps({"predictions": estimator.predict(json.load(sys.stdin)["instances"]).tolist()}))
