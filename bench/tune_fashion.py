#!/usr/bin/env python3
"""How many epochs TPE with ASHA needs for what 64 random trials find, on Fashion-MNIST.

tune_fashion.py PROGRAM [--rows N] [--first N] [--seeds N] [--epochs N] [--jobs N] [--out FOLDER]

PROGRAM is the evenrow program. Trials train on three quarters of the training images (the first
N of them with --rows, which takes a minute a seed instead of ten) and are scored by the others;
test images are not looked at. Prints a line a seed: the best validation accuracy of 64 random
trials and their epochs; that of TPE with ASHA in half as many epochs, or in 64 trials where those
take more; and the epochs that it had spent, over all trials in their order, when a complete trial
was first as good as random's best, and when first at most a standard error below it. With --out
the studies are kept there, and the same command goes on. Epochs are counted, not seconds, so the
figures are the same on any machine. Needs nothing but Python.
"""

import argparse
import gzip
import json
import pathlib
import struct
import subprocess
import tempfile

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")


def write_part(folder, rows):
    """The first `rows` training images and labels, as IDX files; the path of the images."""
    for kind, size, header in (("images-idx3", 784, 16), ("labels-idx1", 1, 8)):
        content = gzip.open(DATA / f"train-{kind}-ubyte.gz").read()
        head = content[:4] + struct.pack(">I", rows) + content[8:header]
        (folder / f"part-{kind}-ubyte").write_bytes(head + content[header:header + rows * size])
    return folder / "part-images-idx3-ubyte"


def trials_of(journal):
    """(epochs, value or None when not complete) of every trial, in order."""
    epochs, values = [], {}
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        if entry["op_code"] == 4:
            epochs.append(0)
        elif entry["op_code"] == 7:
            epochs[entry["trial_id"]] = max(epochs[entry["trial_id"]], entry["step"])
        elif entry["op_code"] == 6 and entry["state"] == 1:
            values[entry["trial_id"]] = entry["values"][0]
    return [(count, values.get(trial)) for trial, count in enumerate(epochs)]


def epochs_until(trials, goal):
    """Epochs of all trials up to the first complete one that is as good; None: there is none."""
    spent = 0
    for count, value in trials:
        spent += count
        if value is not None and value >= goal:
            return spent
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rows", type=int, default=60000)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.out or tempfile.mkdtemp(prefix="tune_fashion-"))
    folder.mkdir(parents=True, exist_ok=True)
    images = write_part(folder, arguments.rows)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        def study(search, pruner, trials):
            out = folder / f"{search}-{seed}"
            subprocess.run(
                [arguments.program, "tune", images, "--search", search, "--pruner", pruner,
                 "--seed", str(seed), "--epochs", str(arguments.epochs), "--validation", "0.25",
                 "--trials", str(trials), "--jobs", str(arguments.jobs), "--threads", "1",
                 "--out", out],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return trials_of(out / "journal.log")

        random = study("random", "none", 64)
        total = sum(epochs for epochs, _ in random)
        goal = max(value for _, value in random if value is not None)
        error = (goal * (1 - goal) / (arguments.rows // 4)) ** 0.5
        count = 64
        tpe = study("tpe", "asha", count)
        while sum(epochs for epochs, _ in tpe) < total / 2 and epochs_until(tpe, goal) is None:
            count += 4
            tpe = study("tpe", "asha", count)
        reached = ", ".join(
            f"{what} after {epochs} ({100 * epochs / total:.0f} %)" if epochs else f"{what} never"
            for what, epochs in (("random's best", epochs_until(tpe, goal)),
                                 (f"{100 * error:.2f} points less", epochs_until(tpe, goal - error))))
        best = max(value for _, value in tpe if value is not None)
        print(f"seed {seed}: random {goal:.4f} in {total} epochs; tpe with asha {best:.4f} in "
              f"{sum(epochs for epochs, _ in tpe)} of {count} trials, {reached}", flush=True)


if __name__ == "__main__":
    main()
