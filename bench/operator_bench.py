#!/usr/bin/env python3
"""Evenrow's operator beside oneDNN and PyTorch: every result is checked, then timed, in one run.

    cmake --preset bench && cmake --build --preset bench
    python3 bench/operator_bench.py                          all sections; --only, --sections for less
    python3 bench/operator_bench.py --torch VENV/bin/python  with PyTorch (bench/requirements.txt)

With -DEVENROW_BENCH_ONEDNN=PREFIX the build has a peer for a newer oneDNN too. --build NAME=PROGRAM adds
another operator_evenrow, to compare two states of the tree. Needs NumPy.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

from operator_cases import last_level_cache, read_shapes, working_folder
from operator_peers import Peer, measure
from operator_sections import SECTIONS

HERE = pathlib.Path(__file__).resolve().parent
# With these the C library keeps memory for the next call, instead of asking the system each time.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
LEGEND = """\
us: median over rounds of a call's time. GB/s: of the bytes that have to move (B/value: every tensor once,
what is read twice again if a channel does not fit {budget:.3g} MiB; channels last: if the tensor does not).
limit: share of the rate of the better of two copies of a tensor of this size (memcpy; stores past the
caches). Columns with a peer's name: its time / ours, the median over rounds. For oneDNN,
feature-major is NCHW with one image of one line and nc is NHWC with images of one pixel, its fastest.
PyTorch: results are allocated by each call, {malloc}."""


class Bench:
    """The peers, what was asked for, and everything measured so far."""

    def __init__(self, options, threads, root):
        self.options, self.threads, self.root = options, threads, root
        self.budget = options.cache or last_level_cache() // 2
        self.records = []
        self.peers = {}
        ours = options.bin / "operator_evenrow"
        if not ours.is_file():
            sys.exit(f"{ours}: no such program; build it (see --help), or name its folder: --bin")
        self.ours = self.start("Evenrow", [ours, threads], strict=True)
        for name, program in options.build:
            self.start(name, [program, threads], strict=True)
        self.builds = list(self.peers)[1:]
        for program in ("operator_onednn", "operator_onednn_newer"):
            if (options.bin / program).exists():
                self.start(None, [options.bin / program])
        if options.torch:
            self.start("PyTorch", [options.torch, HERE / "peers" / "torch_operator_peer.py", threads],
                       environment={} if options.malloc == "default" else KEEP_MEMORY)
        self.others = [name for name in self.peers if name != "Evenrow"]
        self.all_shapes = [shape for shape in read_shapes(options.shapes)
                           if re.search(options.only, str(shape))]

    def start(self, name, command, **fields):
        peer = Peer(name, list(map(str, command)), self.threads, **fields)
        peer.name = name or f"{peer.hello['name']} {peer.hello['version']}"
        self.peers[peer.name] = peer
        return peer

    def close(self):
        for peer in self.peers.values():
            peer.close()

    def shapes(self, *tags):
        """Those with one of the tags, or all; a shape's files are removed when it is done."""
        for shape in self.all_shapes:
            if not tags or set(tags) & set(shape.tags):
                yield shape
                for folder in self.root.iterdir():
                    shutil.rmtree(folder)

    def measure(self, section, candidates):
        def progress(text):
            print(f"[{section}] {text}", file=sys.stderr, flush=True)

        results = measure(candidates, self.root, self.options.rounds, progress)
        self.records += [{"section": section, "threads": self.threads} | candidate.record()
                         for candidate in candidates]
        return results

    @staticmethod
    def say(text):
        print(text, flush=True)

    def show(self, title, table):
        mark = "### " if self.options.markdown else ""
        self.say(f"\n{mark}{title}, {self.threads} thread{'s' * (self.threads != 1)}\n"
                 + "\n" * self.options.markdown + table.text(self.options.markdown))

    def introduce(self):
        hellos = [f"{name} ({peer.hello['version']})" if peer.hello["version"] not in name else name
                  for name, peer in self.peers.items()]
        self.say(f"{processor()}; threads: {self.threads}; {self.options.rounds} rounds\n"
                 f"{', '.join(hellos)}")
        if "PyTorch" in self.peers:
            overhead = self.peers["PyTorch"].hello["overhead_us"]
            self.say(f"a call of PyTorch on 2 values takes {overhead:.1f} us")
        self.say(LEGEND.format(budget=self.budget / (1 << 20), malloc=(
            "from memory that it keeps" if self.options.malloc == "keep" else
            "large ones from the system")))


def processor():
    info = pathlib.Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    family = re.findall(r"cpu family\s*: (.*)", info.read_text(encoding="utf-8")) if names else []
    return f"{names[0]} (family {family[0]})" if names and family else "unknown processor"


def arguments():
    def named(text):
        name, _, program = text.partition("=")
        return name, program

    def several(text):
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--bin", type=pathlib.Path, default=HERE.parent / "build/bench/bin", help="where the peers are")
    add("--build", type=named, action="append", default=[], metavar="NAME=PROGRAM",
        help="another operator_evenrow; may be repeated")
    add("--torch", metavar="PYTHON", help="a Python that has PyTorch")
    add("--malloc", choices=("keep", "default"), default="keep",
        help="whether PyTorch's memory stays with the process between calls (keep; it is faster)")
    add("--threads", type=several, default=[str(len(os.sched_getaffinity(0)))], help="such as 1,2")
    add("--rounds", type=int, default=9, help="turns of every candidate")
    add("--sections", type=several, default=list(SECTIONS), help=",".join(SECTIONS))
    add("--only", default="", metavar="REGEX", help="shapes by name: 'nchw 32x64x3136'")
    add("--shapes", default=HERE / "shapes.txt", metavar="FILE")
    add("--cache", type=int, metavar="BYTES", help="what is kept between two readings; half of the L3")
    add("--json", metavar="FILE", help="every figure, of every round")
    add("--markdown", action="store_true", help="tables as Markdown")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}")
    return options


def main():
    options = arguments()
    records, wrong = [], 0
    for threads in map(int, options.threads):
        with tempfile.TemporaryDirectory(dir=working_folder()) as folder:
            bench = Bench(options, threads, pathlib.Path(folder))
            bench.introduce()
            for section in options.sections:
                SECTIONS[section](bench)
            bench.close()
            records += bench.records
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(records, indent=1), encoding="utf-8")
    worst = {}
    for record in records:
        if record["type"] == "f32" and record["bound"]:
            error = record["error_of_bound"] * record["bound"]
            worst[record["peer"]] = max(worst.get(record["peer"], 0), error)
    print("\nlargest error of f32 results, in roundoffs of all that is added (operator_reference.py):\n  " +
          ", ".join(f"{peer} {error:.2g}" for peer, error in worst.items()))
    for record in records:
        if record["status"] in ("WRONG", "error"):
            wrong += 1
            print(f"{record['status']}: {record['label']} {record['op']} {record['shape']} "
                  f"{record['type']}: {record['reason']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
