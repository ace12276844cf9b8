"""The safetensors package as the peer of our reader and writer (tests/io/python_test.cpp).

safetensors_peer.py dump IN OUT     metadata and tensors of IN as JSON
safetensors_peer.py rewrite IN OUT  IN, read and written again by the package
safetensors_peer.py make OUT        a file of the package's own
"""

import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def read(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def dump(source, destination):
    metadata, tensors = read(source)
    content = {
        "metadata": metadata,
        "tensors": {
            name: {
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "hex": np.ascontiguousarray(array).tobytes().hex(),
            }
            for name, array in tensors.items()
        },
    }
    with open(destination, "w", encoding="utf-8") as file:
        json.dump(content, file)


def rewrite(source, destination):
    metadata, tensors = read(source)
    save_file(tensors, destination, metadata=metadata)


def make(destination):
    tensors = {
        "f32": (np.arange(6, dtype=np.float32) / 3).reshape(2, 3),
        "f64": np.array([0.1, -0.0, np.inf, 5e-324]),
        "i64": np.array([-(2**63), 2**63 - 1]),
        "i32": np.array([[-5], [6]], dtype=np.int32),
        "u8": np.array([0, 255, 7], dtype=np.uint8),
        "f16": np.array([1.5], dtype=np.float16),
        "bool": np.array([True, False]),
        "one value": np.array(2.5, dtype=np.float32),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "größer 🙂": np.array([1], dtype=np.int64),
    }
    save_file(tensors, destination, metadata={"from": "Python", "text": '"é"\\\n🙂'})


if __name__ == "__main__":
    {"dump": dump, "rewrite": rewrite, "make": make}[sys.argv[1]](*sys.argv[2:])
