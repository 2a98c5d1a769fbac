"""The safetensors format: 8 bytes of header length, a JSON header, raw little-endian tensors."""

import json

import numpy as np

DTYPES = {"F32": np.float32, "I8": np.int8, "I32": np.int32, "U8": np.uint8, "F16": np.float16, "F64": np.float64, "I64": np.int64, "BOOL": np.bool_}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def write(path, tensors, metadata):
    """Writes arrays by name, in the order given, and metadata of strings. Each tensor starts at a multiple of its element."""
    # wide elements first, so that no gap is needed for alignment
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header, at = {"__metadata__": metadata}, 0
    for name in order:
        x = tensors[name]
        header[name] = {"dtype": NAMES[x.dtype], "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in order:
            file.write(np.ascontiguousarray(tensors[name]).tobytes())


def read(path):
    """(arrays by name, metadata)."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    body = memoryview(data)[8 + size :]
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata
