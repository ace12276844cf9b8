#!/usr/bin/env python3
"""Evenrow's training step beside PyTorch's, the same without batch norm, and its matrix products alone.

    cmake --preset bench && cmake --build --preset bench
    python3 bench/step_bench.py                          against ourselves
    python3 bench/step_bench.py --torch VENV/bin/python  and PyTorch (bench/requirements.txt)

First the losses of a few steps are compared, from the same weights on the same examples; then all take
turns in one run. Needs NumPy.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

import numpy as np
from operator_bench import KEEP_MEMORY, processor
from operator_cases import working_folder
from operator_peers import PAUSE_S, Candidate, Peer, ratio
from operator_tables import Table, geometric_mean, time_of, times

HERE = pathlib.Path(__file__).resolve().parent
CHECKED_STEPS = 5
# A turn is long, and what is timed has run before: threads that have slept take milliseconds until each
# is on a processor of its own again. Training does not stop between its steps.
TURN_NS = 1e8
# Of the first loss, as a share of it: forward alone, sums of thousands of products in another order.
FIRST_ALLOWED = 1e-5
# Of the last loss, as a share of what it fell by. Adam's first steps move every weight by the learning
# rate in the direction of its gradient's sign: where that is 0 but for rounding, the sign may differ.
LAST_ALLOWED = 1e-2
LEGEND = """\
us: median over rounds of a step's time with batch norm. Other columns: their time / ours with batch norm,
the median over rounds, but for 'norm' (ours with batch norm / ours without, with biases) and 'products'
(ours with batch norm / its matrix products alone, called as in the step). 'at most': PyTorch's time / that
of our products alone, which its column could reach if all else took no time."""


@dataclasses.dataclass(frozen=True)
class NetworkCase:
    inputs: int
    hidden: tuple
    outputs: int
    batch: int

    def __str__(self):
        widths = "-".join(map(str, self.hidden))
        if len(set(self.hidden)) == 1:
            widths = f"{self.hidden[0]}x{len(self.hidden)}"
        return f"{self.inputs}-{widths}-{self.outputs}, {self.batch}"


def read_networks(path):
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        inputs, hidden, outputs, batch, *_ = line.split(maxsplit=4)
        widths = []
        for part in hidden.split(","):
            width, _, count = part.partition("x")
            widths += [int(width)] * int(count or 1)
        yield NetworkCase(int(inputs), tuple(widths), int(outputs), int(batch))


def write_data(case, folder):
    """Examples and initial weights (He et al., 2015), the same for all."""
    random = np.random.default_rng(1)
    widths = [case.inputs, *case.hidden, case.outputs]
    random.standard_normal((case.batch, case.inputs), dtype=np.float32).tofile(folder / "x.bin")
    random.integers(0, case.outputs, case.batch, dtype=np.int32).tofile(folder / "classes.bin")
    for block, (inputs, units) in enumerate(zip(widths, widths[1:])):
        weight = random.standard_normal((units, inputs), dtype=np.float32) * np.float32((2 / inputs) ** 0.5)
        weight.tofile(folder / f"weight{block}.bin")


def candidates_of(case, peers, compiled):
    ours = peers["Evenrow"]
    result = {"batch": Candidate("batch", ours, ("step", "batch", False)),
              "none": Candidate("none", ours, ("step", "none", False)),
              "products": Candidate("products", ours, ("products", "batch", False))}
    if torch := peers.get("PyTorch"):
        result["PyTorch"] = Candidate("PyTorch", torch, ("step", "batch", False))
        if compiled:
            result["compiled"] = Candidate("compiled", torch, ("step", "batch", True))
    return result


def set_up_and_check(case, candidates, folder):
    data = folder / "data"
    data.mkdir()
    write_data(case, data)
    losses = {}
    for candidate in candidates.values():
        op, norm, compiled = candidate.case
        reply = candidate.ask("setup", op=op, norm=norm, compiled=compiled, data=str(data),
                              inputs=case.inputs, hidden=case.hidden, outputs=case.outputs,
                              batch=case.batch, checked_steps=CHECKED_STEPS, learning_rate=1e-3,
                              timed_learning_rate=1e-9)
        if "ok" in reply:
            reply = candidate.ask("check", folder=str(folder))
        if "ok" not in reply:
            candidate.status, candidate.reason = "error", reply.get("error", reply.get("unsupported"))
        elif op == "step":
            losses[candidate.label] = np.fromfile(folder / "losses.bin")
    for label, theirs in losses.items():
        if label == "none":
            continue
        ours = losses["batch"]
        first = abs(theirs[0] - ours[0]) / ours[0]
        last = abs(theirs[-1] - ours[-1]) / (ours[0] - ours[-1])
        if not (first <= FIRST_ALLOWED and 0 <= last <= LAST_ALLOWED):
            candidates[label].status = "WRONG"
            candidates[label].reason = f"first loss off by {first:.2g}, last one by {last:.2g}"


def measure(case, peers, options):
    candidates = candidates_of(case, peers, options.compile)
    with tempfile.TemporaryDirectory(dir=working_folder()) as folder:
        set_up_and_check(case, candidates, pathlib.Path(folder))
    timed = [candidate for candidate in candidates.values() if candidate.ok]
    for candidate in timed:
        first = candidate.ask("time", warmup=3, calls=3)["ns"] / 3
        candidate.calls = max(3, math.ceil(TURN_NS / first))
    for _ in range(options.rounds):
        for candidate in timed:
            time.sleep(PAUSE_S)
            calls = candidate.calls
            candidate.times.append(
                candidate.ask("time", warmup=math.ceil(calls / 4), calls=calls)["ns"] / calls)
    for candidate in candidates.values():
        candidate.ask("drop")
        if not candidate.ok:
            print(f"  {candidate.label}: {candidate.status}: {candidate.reason}", file=sys.stderr)
    return candidates


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--bin", type=pathlib.Path, default=HERE.parent / "build/bench/bin", help="where step_evenrow is")
    add("--torch", metavar="PYTHON", help="a Python that has PyTorch")
    add("--compile", action="store_true", help="torch.compile too (needs a C++ compiler)")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--rounds", type=int, default=9, help="turns of every candidate")
    add("--only", default="", metavar="REGEX", help="networks by name: '512x4'")
    add("--networks", default=HERE / "networks.txt", metavar="FILE")
    add("--json", metavar="FILE", help="every figure, of every round")
    add("--markdown", action="store_true", help="the table as Markdown")
    options = parser.parse_args()

    peers = {"Evenrow": Peer("Evenrow", [str(options.bin / "step_evenrow"), str(options.threads)],
                             options.threads)}
    if options.torch:
        peers["PyTorch"] = Peer("PyTorch", [options.torch, str(HERE / "peers/torch_step_peer.py"),
                                            str(options.threads)], options.threads,
                                environment=KEEP_MEMORY)
    versions = ", ".join(f"{name} {peer.hello['version']}" for name, peer in peers.items())
    print(f"{processor()}; threads: {options.threads}; {options.rounds} rounds\n{versions}\n{LEGEND}")

    others = [label for label, wanted in (("PyTorch", options.torch),
                                          ("compiled", options.torch and options.compile)) if wanted]
    limits = ["at most"] if options.torch else []
    table = Table("network, batch", "us", "norm", "products", *others, *limits)
    records, ratios, wrong = [], {}, False
    for case in read_networks(options.networks):
        if not re.search(options.only, str(case)):
            continue
        print(f"[step] {case}", file=sys.stderr, flush=True)
        results = measure(case, peers, options)
        batch = results["batch"]
        row = {"norm": ratio(batch, results["none"]), "products": ratio(batch, results["products"])}
        row |= {label: ratio(results[label], batch) for label in others}
        row |= {label: ratio(results["PyTorch"], results["products"]) for label in limits}
        table.add(case, time_of(batch), *(times(value) for value in row.values()))
        for label, value in row.items():
            if value is not None:
                ratios.setdefault(label, []).append(value)
        wrong |= any(not candidate.ok for candidate in results.values())
        records += [{"network": str(case), "label": candidate.label, "status": candidate.status,
                     "reason": candidate.reason, "calls": candidate.calls, "rounds_ns": candidate.times}
                    for candidate in results.values()]
    print("\n" + table.text(options.markdown) + "\n")
    for label, values in ratios.items():
        print(f"{label}: geometric mean {geometric_mean(values):.2f}, median "
              f"{statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f}")
    for peer in peers.values():
        peer.close()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(records, indent=1), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
