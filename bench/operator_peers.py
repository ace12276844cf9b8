"""Candidates of operator_bench.py as child processes, and how they take turns."""

import dataclasses
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time

import operator_reference
from operator_cases import Data

BATCH_NS = 5e6  # a batch of calls is long enough for the clock, and for what is left of a pause
PAUSE_S = 0.003  # threads of the candidate before stop spinning
NUMBERS = itertools.count(1)


class Peer:
    """A program of peers/, which answers one line of JSON with another."""

    def __init__(self, name, command, threads, strict=False, environment=None):
        self.name, self.strict = name, strict
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | (environment or {}))
        self.hello = self.ask({"do": "hello"})
        if self.hello.get("threads") != threads:
            sys.exit(f"{name}: wanted {threads} threads, runs {self.hello}")

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            sys.exit(f"{self.name}: ended with {self.process.wait()} on {request}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@dataclasses.dataclass
class Candidate:
    """One peer doing one case, and what came of it."""

    label: str
    peer: Peer
    case: object
    number: int = dataclasses.field(default_factory=lambda: next(NUMBERS))
    status: str = "ok"  # or unsupported, WRONG, error
    reason: str = ""
    implementation: str = ""
    error: float = 0.0  # the largest error as a share of its bound
    allowed: float = 0.0  # k of that bound
    calls: int = 1
    times: list = dataclasses.field(default_factory=list)  # ns a call, one a round

    @property
    def ok(self):
        return self.status == "ok"

    @property
    def ns(self):
        return statistics.median(self.times)

    def ask(self, what, **fields):
        return self.peer.ask({"do": what, "id": self.number} | fields)

    def run(self, calls):
        return self.ask("time", warmup=1, calls=calls)["ns"] / calls

    def calibrate(self):
        first = self.run(1)
        if first < BATCH_NS:
            guess = self.run(max(1, math.ceil(BATCH_NS / 10 / first)))
            self.calls = max(1, math.ceil(BATCH_NS / guess))

    def record(self):
        record = {"label": self.label, "peer": self.peer.name, "op": self.case.op,
                  "type": self.case.type, "relu": self.case.relu, "residual": self.case.residual,
                  "masked": bool(self.case.lengths), "shape": str(self.case.shape),
                  "status": self.status, "reason": self.reason,
                  "implementation": self.implementation, "error_of_bound": self.error,
                  "bound": self.allowed}
        if self.ok:
            record |= {"ns": self.ns, "calls": self.calls, "rounds_ns": self.times}
        return record


def ratio(other, ours):
    """How many times as long as `ours`: the median over rounds, each with its own two times."""
    if not (other and ours and other.ok and ours.ok):
        return None
    return statistics.median(theirs / own for theirs, own in zip(other.times, ours.times))


def set_up(candidates, root):
    for candidate in candidates:
        data = Data(root, candidate.case.shape, candidate.case.type)
        data.prepare(candidate.case)
        reply = candidate.ask("setup", **candidate.case.request(data.folder))
        candidate.implementation = reply.get("implementation", "")
        for status in ("unsupported", "error"):
            if status in reply:
                candidate.status, candidate.reason = status, reply[status]


def check(candidates, root):
    """Everything that is to be timed is compared with the reference; what is wrong is not timed."""
    cases = {}
    for candidate in candidates:
        if not candidate.ok:
            continue
        folder = root / f"result-{candidate.number}"
        folder.mkdir()
        reply = candidate.ask("check", folder=str(folder))
        if "error" in reply:
            candidate.status, candidate.reason = "error", reply["error"]
        else:
            cases.setdefault(candidate.case, []).append((candidate, folder))
    for case, results in cases.items():
        folders = {candidate.number: (folder, candidate.peer.strict) for candidate, folder in results}
        errors = operator_reference.check(case, Data(root, case.shape, case.type), folders)
        for candidate, folder in results:
            candidate.error, candidate.allowed = errors[candidate.number]
            if not candidate.error <= 1:
                candidate.status = "WRONG"
                candidate.reason = f"off by {candidate.error:.3g} of what it may be"
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def measure(candidates, root, rounds, progress):
    """Sets up and checks all candidates, then times them in turns. Returns them by label."""
    progress(f"{candidates[-1].case.shape} {candidates[-1].case.op}")
    set_up(candidates, root)
    check(candidates, root)
    timed = [candidate for candidate in candidates if candidate.ok]
    for candidate in timed:
        time.sleep(PAUSE_S)
        candidate.calibrate()
    for _ in range(rounds):
        for candidate in timed:
            time.sleep(PAUSE_S)
            candidate.times.append(candidate.run(candidate.calls))
    for candidate in candidates:
        candidate.ask("drop")
        if not candidate.ok:
            progress(f"  {candidate.label}: {candidate.status}: {candidate.reason}")
    return {candidate.label: candidate for candidate in candidates}
