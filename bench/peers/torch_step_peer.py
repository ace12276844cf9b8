"""PyTorch as a peer of bench/step_bench.py; peer.hpp has the protocol.

    torch_step_peer.py THREADS

A step is what a training loop has: zero_grad, forward, loss, backward, Adam (the fused one).
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn

from serving import serve


class Training:
    """One network in training."""

    def __init__(self, case, learning_rate):
        folder = pathlib.Path(case["data"])

        def read(name, stored, *shape):
            return torch.from_numpy(np.fromfile(folder / name, dtype=stored).reshape(shape))

        self.x = read("x.bin", np.float32, case["batch"], case["inputs"])
        self.classes = read("classes.bin", np.int32, case["batch"]).long()
        normalized, layers, inputs = case["norm"] == "batch", [], case["inputs"]
        widths = [*case["hidden"], case["outputs"]]
        for block, units in enumerate(widths):
            last = block == len(widths) - 1
            linear = nn.Linear(inputs, units, bias=last or not normalized)
            with torch.no_grad():
                linear.weight.copy_(read(f"weight{block}.bin", np.float32, units, inputs))
                if linear.bias is not None:
                    linear.bias.zero_()
            layers.append(linear)
            if not last:
                layers += [nn.BatchNorm1d(units)] * normalized + [nn.ReLU()]
            inputs = units
        self.network = nn.Sequential(*layers)
        if case["compiled"]:
            torch.compiler.reset()  # it counts networks, and stops compiling after some
            self.network = torch.compile(self.network)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate, fused=True)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.x), self.classes)
        loss.backward()
        self.optimizer.step()
        return loss


class Step:
    def __init__(self, case):
        self.case = case
        # So slow that the network which is timed stays as it is, however often it is run.
        self.timed = Training(case, case["timed_learning_rate"])

    def run(self):
        self.timed.step()

    def write(self, folder):
        checked = Training(self.case, self.case["learning_rate"])
        losses = [checked.step().item() for _ in range(self.case["checked_steps"])]
        np.array(losses, dtype=np.float64).tofile(folder / "losses.bin")


def main():
    torch.set_num_threads(int(sys.argv[1]))
    serve({"name": "PyTorch", "version": torch.__version__, "threads": torch.get_num_threads()}, Step)


if __name__ == "__main__":
    main()
