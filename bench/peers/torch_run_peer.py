"""A whole training run of PyTorch on Fashion-MNIST, for bench/run_bench.py.

    torch_run_peer.py SEED THREADS EPOCHS TARGET...

Prints {target: [seconds of training until the test accuracy is at least that, epochs]}, or nulls. The data is
normalized and in memory before the clock starts; evaluation is not counted.
"""

import gzip
import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn

BATCH = 128


def read(part):
    base = pathlib.Path(os.environ.get("EVENROW_DATASETS", "/usr/share/datasets")) / "fashion-mnist"
    with gzip.open(base / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(base / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32), torch.from_numpy(labels.astype(np.int64))


def network():
    layers, inputs = [], 784
    for units in (256, 128):
        layers += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
        inputs = units
    layers.append(nn.Linear(inputs, 10))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers)


def main(seed, threads, epochs, targets):
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    images, labels = read("train")
    test_images, test_labels = read("t10k")
    mean, deviation = images.mean(axis=0), images.std(axis=0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    x = torch.from_numpy(((images - mean) * scale).astype(np.float32))
    test_x = torch.from_numpy(((test_images - mean) * scale).astype(np.float32))

    model, loss_of = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    seconds, found = 0.0, {}
    for epoch in range(1, epochs + 1):
        model.train()
        start = time.perf_counter()
        order = torch.randperm(len(x))
        for first in range(0, len(x), BATCH):
            rows = order[first:first + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(x[rows]), labels[rows]).backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_labels).float().mean().item()
        for target in targets:
            if accuracy >= target and target not in found:
                found[target] = (seconds, epoch)
        if len(found) == len(targets):
            break
    print(json.dumps({str(target): found.get(target, (None, epochs)) for target in targets}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), [float(target) for target in sys.argv[4:]])
