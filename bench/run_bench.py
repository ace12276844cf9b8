#!/usr/bin/env python3
"""A whole training run on Fashion-MNIST beside PyTorch's: seconds until the test accuracy is reached.

    cmake --preset bench && cmake --build --preset bench
    python3 bench/run_bench.py --torch VENV/bin/python      (bench/requirements.txt)

784-256-128-10 with batch norm, Adam at 0.001, mini-batches of 128, all 60,000 training images. Ours is the
whole process: reading the compressed files, normalizing, training for as many epochs as that accuracy takes,
evaluating and writing the run folder. PyTorch's clock runs while it trains alone: its data is normalized and in
memory, its libraries are loaded, and its evaluations after each epoch are not counted.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

from operator_bench import processor
from operator_tables import Table

HERE = pathlib.Path(__file__).resolve().parent
MOST_EPOCHS = 30


def our_run(program, seed, epochs, threads, precision):
    """Seconds of the process, and the test accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([program, "train", "fashion-mnist", "--hidden", "256,128", "--validation", "0",
                        "--epochs", str(epochs), "--seed", str(seed), "--threads", str(threads),
                        "--precision", precision, "--out", f"{folder}/run"],
                       check=True, capture_output=True)
        seconds = time.perf_counter() - start
        result = json.loads(pathlib.Path(f"{folder}/run/result.json").read_text())
        return seconds, result["test"]["accuracy"]


class OurRuns:
    """Equal options and seeds give equal runs, so the epochs that an accuracy takes are found first."""

    def __init__(self, program, seed, threads, precision):
        self.arguments = program, seed, threads, precision
        self.accuracies = []

    def seconds(self, target):
        program, seed, threads, precision = self.arguments
        while not self.accuracies or max(self.accuracies) < target:
            epochs = len(self.accuracies) + 1
            if epochs > MOST_EPOCHS:
                return None, epochs - 1
            self.accuracies.append(our_run(program, seed, epochs, threads, precision)[1])
        epochs = next(i for i, a in enumerate(self.accuracies, 1) if a >= target)
        return our_run(program, seed, epochs, threads, precision)[0], epochs


def torch_runs(python, seed, threads, targets):
    """{target: (seconds, epochs)}"""
    answer = subprocess.run([python, HERE / "peers" / "torch_run_peer.py", str(seed), str(threads),
                             str(MOST_EPOCHS), *map(str, targets)],
                            check=True, capture_output=True, text=True)
    return {float(target): tuple(value) for target, value in json.loads(answer.stdout).items()}


def cell(seconds, epochs):
    return "-" if seconds is None else f"{seconds:.2f} ({epochs})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bench/bin/evenrow")
    parser.add_argument("--torch", required=True, help="Python that has bench/requirements.txt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--targets", type=float, nargs="+", default=[0.88, 0.89])
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()

    print(f"{processor()}, {options.threads} threads; seconds (epochs)\n")
    table = Table("seed", *[f"{who} to {target:.0%}" for target in options.targets
                            for who in ("ours", "PyTorch")])
    ratios = {target: [] for target in options.targets}
    for seed in range(1, options.seeds + 1):
        ours = OurRuns(options.program, seed, options.threads, options.precision)
        theirs = torch_runs(options.torch, seed, options.threads, options.targets)
        cells = []
        for target in options.targets:
            our_seconds, our_epochs = ours.seconds(target)
            cells += [cell(our_seconds, our_epochs), cell(*theirs[target])]
            if our_seconds is not None and theirs[target][0] is not None:
                ratios[target].append(theirs[target][0] / our_seconds)
        table.add(seed, *cells)
    print(table.text(options.markdown))
    for target, values in ratios.items():
        if values:
            print(f"\nPyTorch / ours to {target:.0%}: median {statistics.median(values):.2f}, "
                  f"{min(values):.2f} to {max(values):.2f} ({len(values)} of {options.seeds} seeds)")


if __name__ == "__main__":
    main()
