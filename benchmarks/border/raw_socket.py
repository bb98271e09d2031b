"""A long-living Python process behind a raw socket: a line of JSON in, a line of JSON out, for each request.

``raw_socket.py ONNX_FILE PORT``. The leanest way to ask another process: no HTTP on the inner side.
"""

import asyncio
import json
import sys

import numpy as np
import onnxruntime
import uvloop

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name, output = session.get_inputs()[0].name, session.get_outputs()[0].name


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer line by line until the other side closes."""
    while line := await reader.readline():
        rows = np.array(json.loads(line)["instances"], np.float64)
        labels = session.run([output], {name: rows})[0].tolist()
        writer.write(json.dumps({"predictions": labels}).encode() + b"\n")
    writer.close()


async def main() -> None:
    """Serve until told to end."""
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
