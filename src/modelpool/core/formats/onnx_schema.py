"""The fields of an ONNX file that are looked at, as protobuf messages (numbers from ``onnx/onnx-ml.proto``).

What is not declared here, the weights above all, is skipped by protobuf's C parser and takes no time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_OPTIONAL, _REPEATED = 1, 3
_INT64, _INT32, _STRING, _MESSAGE, _BYTES = 3, 5, 9, 11, 12
"""``FieldDescriptorProto.Label`` and ``.Type``."""

_MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Entry": [("key", 1, _OPTIONAL, _STRING, ""), ("value", 2, _OPTIONAL, _STRING, "")],
    "Tensor": [
        ("dims", 1, _REPEATED, _INT64, ""),
        ("data_location", 14, _OPTIONAL, _INT32, ""), ("external_data", 13, _REPEATED, _MESSAGE, "Entry"),
    ],
    "Sparse": [
        ("values", 1, _OPTIONAL, _MESSAGE, "Tensor"), ("indices", 2, _OPTIONAL, _MESSAGE, "Tensor"),
        ("dims", 3, _REPEATED, _INT64, ""),
    ],
    "Empty": [],
    "Attribute": [
        ("name", 1, _OPTIONAL, _STRING, ""), ("t", 5, _OPTIONAL, _MESSAGE, "Tensor"),
        ("g", 6, _OPTIONAL, _MESSAGE, "Empty"),
        ("ints", 8, _REPEATED, _INT64, ""), ("strings", 9, _REPEATED, _BYTES, ""),
        ("tensors", 10, _REPEATED, _MESSAGE, "Tensor"), ("graphs", 11, _REPEATED, _MESSAGE, "Empty"),
        ("sparse_tensor", 22, _OPTIONAL, _MESSAGE, "Sparse"), ("sparse_tensors", 23, _REPEATED, _MESSAGE, "Sparse"),
    ],
    "Node": [
        ("op_type", 4, _OPTIONAL, _STRING, ""), ("attribute", 5, _REPEATED, _MESSAGE, "Attribute"),
        ("domain", 7, _OPTIONAL, _STRING, ""),
    ],
    "Dimension": [("dim_value", 1, _OPTIONAL, _INT64, "")],
    "Shape": [("dim", 1, _REPEATED, _MESSAGE, "Dimension")],
    "TensorType": [("shape", 2, _OPTIONAL, _MESSAGE, "Shape")],
    "Type": [("tensor_type", 1, _OPTIONAL, _MESSAGE, "TensorType")],
    "Value": [("name", 1, _OPTIONAL, _STRING, ""), ("type", 2, _OPTIONAL, _MESSAGE, "Type")],
    "Graph": [
        ("node", 1, _REPEATED, _MESSAGE, "Node"), ("initializer", 5, _REPEATED, _MESSAGE, "Tensor"),
        ("input", 11, _REPEATED, _MESSAGE, "Value"), ("output", 12, _REPEATED, _MESSAGE, "Value"),
        ("sparse_initializer", 15, _REPEATED, _MESSAGE, "Sparse"),
    ],
    "Function": [
        ("name", 1, _OPTIONAL, _STRING, ""), ("node", 7, _REPEATED, _MESSAGE, "Node"),
        ("domain", 10, _OPTIONAL, _STRING, ""),
    ],
    "Model": [
        ("graph", 7, _OPTIONAL, _MESSAGE, "Graph"), ("metadata_props", 14, _REPEATED, _MESSAGE, "Entry"),
        ("functions", 25, _REPEATED, _MESSAGE, "Function"),
    ],
}  # fmt: skip


@lru_cache(maxsize=1)
def model_type() -> Any:
    """Return the class of the message ``ModelProto``, with the fields above."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped, unused-ignore]

    file = descriptor_pb2.FileDescriptorProto(name="modelpool_scan.proto", package="modelpool_scan", syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, label, kind, of in fields:
            entry = message.field.add(name=name, number=number, label=label, type=kind)
            if of:
                entry.type_name = f".modelpool_scan.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("modelpool_scan.Model"))
