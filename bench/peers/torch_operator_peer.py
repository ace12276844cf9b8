"""PyTorch as a peer of bench/operator_bench.py; peer.hpp has the protocol.

    torch_operator_peer.py THREADS

Results are allocated by every call, as the interface has it; all else happens in setup. Sequences with
channels last are given as images of as many pixels: that is the layout PyTorch has kernels for.
"""

import math
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from serving import Unsupported, serve
from torch.nn import functional

TYPES = {"f32": (np.float32, torch.float32), "f64": (np.float64, torch.float64),
         "bf16": (np.uint16, torch.bfloat16), "f16": (np.float16, torch.float16)}


def sides(positions):
    """Height and width of an image with so many pixels, as square as possible."""
    height = next(side for side in range(math.isqrt(positions), 0, -1) if positions % side == 0)
    return height, positions // height


class Operation:
    def __init__(self, case):
        if case.get("lengths"):
            raise Unsupported("lengths")
        self.case = case
        self.stored, self.type = TYPES[case["type"]]
        self.relu = case.get("activation") == "relu"
        training = case["op"] != "infer"
        self.x = self.tensor("x").requires_grad_(training)
        self.gamma = self.parameter("gamma").requires_grad_(training)
        self.beta = self.parameter("beta").requires_grad_(training)
        self.residual = self.tensor("residual").requires_grad_(training) if case.get("residual") else None
        self.result = None
        if case["op"] == "backward":
            self.dy = self.tensor("dy")
            self.y = self.forward()
            self.inputs = (self.x, self.gamma, self.beta)
            if self.residual is not None:
                self.inputs += (self.residual,)
        elif case["op"] == "infer":
            self.mean, self.variance = self.parameter("mean"), self.parameter("variance")
        elif case["op"] not in ("forward", "chain"):
            raise Unsupported(f"no operation {case['op']}")

    def read(self, name, stored):
        return np.fromfile(pathlib.Path(self.case["data"]) / f"{name}.bin", dtype=stored)

    def tensor(self, name):
        outer, channels, inner = (self.case[size] for size in ("outer", "channels", "inner"))
        # clone(): memory of PyTorch's own allocator, aligned as it likes it
        values = torch.from_numpy(self.read(name, self.stored)).clone().view(self.type)
        layout = self.case["layout"]
        if layout == "nc":
            return values.view(outer, channels)
        if layout == "feature_major":
            return values.view(1, channels, inner)
        height, width = sides(inner)
        if layout == "nchw":
            return values.view(outer, channels, height, width)
        return values.view(outer, height, width, channels).permute(0, 3, 1, 2)

    def parameter(self, name):
        wide = torch.float64 if self.type == torch.float64 else torch.float32
        return torch.from_numpy(self.read(name, np.float32)).to(wide).clone()

    def activated(self, y):
        if self.residual is not None:
            y = y + self.residual
        return functional.relu(y) if self.relu else y

    def forward(self):
        return self.activated(functional.batch_norm(
            self.x, None, None, self.gamma, self.beta, True, 0.1, self.case["eps"]))

    def run(self):
        op = self.case["op"]
        self.result = None  # its memory can be used again
        if op == "backward":
            self.result = torch.autograd.grad(self.y, self.inputs, self.dy, retain_graph=True)
        elif op == "infer":
            with torch.inference_mode():
                self.result = self.activated(functional.batch_norm(
                    self.x, self.mean, self.variance, self.gamma, self.beta, False, 0.1,
                    self.case["eps"]))
        else:
            self.result = self.forward()
            if op == "chain":
                self.sum = self.result.sum()

    def write(self, folder):
        if self.case["op"] == "backward":
            names = ("dx", "dgamma", "dbeta", "dresidual")
            for name, value in zip(names, self.result):
                self.keep(value, folder / f"{name}.bin")
        else:
            self.keep(self.result, folder / "y.bin")
            if self.case["op"] == "chain":
                (folder / "sum.txt").write_text(str(self.sum.item()), encoding="ascii")

    def keep(self, value, path):
        value = value.detach()
        if self.case["layout"] == "nhwc" and value.dim() == 4:
            value = value.permute(0, 2, 3, 1)
        value = value.contiguous()
        if value.dtype == torch.bfloat16:
            value = value.view(torch.uint16)
        value.numpy().tofile(path)


def call_overhead():
    """Microseconds of a call on next to nothing: what Python and the dispatcher take."""
    x, one, zero = torch.tensor([[1.0], [2.0]]), torch.ones(1), torch.zeros(1)
    x.requires_grad_(True)
    times = []
    for _ in range(301):
        start = time.perf_counter_ns()
        functional.batch_norm(x, None, None, one, zero, True, 0.1, 1e-5)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e3


def main():
    torch.set_num_threads(int(sys.argv[1]))
    serve({"name": "PyTorch", "version": torch.__version__, "threads": torch.get_num_threads(),
           "overhead_us": call_overhead()}, Operation)


if __name__ == "__main__":
    main()
