"""LitServe as its documentation recommends: ``serve.py PORT MAX_BATCH_SIZE``; ``MODEL_FILE`` names the pickled model.

One worker, one API server. With a batch size above 1 requests wait up to a millisecond for others.
"""

import os
import sys

import joblib
import litserve as ls
import numpy as np


class Estimator(ls.LitAPI):
    """One row a request: ``{"row": [...]}`` becomes ``{"prediction": 0}``."""

    def setup(self, device):
        """Load the model in the worker."""
        self.model = joblib.load(os.environ["MODEL_FILE"])

    def decode_request(self, request):
        """Find the row."""
        return request["row"]

    def predict(self, rows):
        """A list of rows where requests are batched, else one row."""
        return self.model.predict(np.array(rows, ndmin=2)).tolist()

    def unbatch(self, output):
        """Give each request its label."""
        return output

    def encode_response(self, output):
        """A list where requests are not batched."""
        return {"prediction": output[0] if isinstance(output, list) else output}


if __name__ == "__main__":
    port, batch = int(sys.argv[1]), int(sys.argv[2])
    api = Estimator(max_batch_size=batch, batch_timeout=0.001 if batch > 1 else 0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="error", generate_client_file=False)
