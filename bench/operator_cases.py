"""What operator_bench.py measures: shapes, cases of them, and their data as raw files."""

import dataclasses
import os
import pathlib
import random
import shutil

import numpy as np

BYTES = {"f32": 4, "f64": 8, "bf16": 2, "f16": 2}
STORED = {"f32": np.float32, "f64": np.float64, "bf16": np.uint16, "f16": np.float16}
EPS = 1e-5


@dataclasses.dataclass(frozen=True)
class Shape:
    """A line of shapes.txt."""

    layout: str
    outer: int
    channels: int
    inner: int
    tags: tuple = ()

    @property
    def size(self):
        return self.outer * self.channels * self.inner

    @property
    def columns(self):
        return self.outer * self.inner

    @property
    def channels_last(self):
        return self.layout in ("nc", "nhwc")

    def __str__(self):
        return f"{self.layout} {self.outer}x{self.channels}x{self.inner}"


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation on one tensor."""

    shape: Shape
    op: str
    type: str = "f32"
    relu: bool = False
    residual: bool = False
    lengths: tuple = ()

    @property
    def copies(self):
        return self.op in ("copy", "copy_stream")

    def request(self, folder):
        request = {"op": self.op, "layout": self.shape.layout, "outer": self.shape.outer,
                   "channels": self.shape.channels, "inner": self.shape.inner, "type": self.type,
                   "eps": EPS, "activation": "relu" if self.relu else "none",
                   "residual": self.residual, "data": str(folder)}
        if self.lengths:
            request["lengths"] = list(self.lengths)
        return request


def read_shapes(path):
    shapes = []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            layout, outer, channels, inner, tags = line.split(maxsplit=5)[:5]
            shapes.append(Shape(layout, int(outer), int(channels), int(inner),
                                () if tags == "-" else tuple(tags.split(","))))
    return shapes


def draw_lengths(shape, share=0.6):
    """Lengths of shape.outer sequences, as far apart as can be; their mean is a whole number."""
    mean = round(share * shape.inner)
    spread = min(mean - 1, shape.inner - mean)
    generator = random.Random(shape.outer * shape.inner)
    lengths = []
    while len(lengths) + 1 < shape.outer:  # pairs on both sides of the mean
        step = generator.randint(0, spread)
        lengths += [mean - step, mean + step]
    if len(lengths) < shape.outer:
        lengths.append(mean)
    generator.shuffle(lengths)
    return tuple(lengths)


def last_level_cache():
    """Bytes, as the system says, at most 16 MiB for each processor: a virtual machine with two of
    sixty processors is told of the whole cache. As src/core/caches.cpp has it."""
    share = 16 << 20
    sizes = [share]
    for index in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "level").read_text(encoding="ascii").strip() == "3":
            sizes = [int((index / "size").read_text(encoding="ascii").strip().rstrip("K")) << 10]
    return min(sizes[0], share * os.cpu_count())


def traffic(case, budget, threads):
    """Bytes a value that have to move: every tensor once, and x (and dy) again where what lies
    between two readings of it does not fit into `budget` bytes of cache."""
    element, shape = BYTES[case.type], case.shape
    slab = shape.columns if not shape.channels_last else shape.size
    at_once = 1 if shape.channels_last else min(threads, shape.channels)
    extra = 1 if case.residual else 0
    if case.op == "backward":
        again = 2 * slab * at_once * element > budget
        return element * ((5 if again else 3) + extra)
    again = case.op != "infer" and slab * at_once * element > budget
    return element * ((3 if again else 2) + extra)


def bfloat16_bits(values):
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def as_wide(stored, kind, wide=np.float64):
    """Stored values as numbers of a wide type."""
    if kind == "bf16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(wide)


class Data:
    """The arrays of a shape and a type, made when asked for; the same for every operation."""

    def __init__(self, root, shape, kind):
        self.shape, self.kind = shape, kind
        self.folder = root / f"{shape}-{kind}".replace(" ", "-")
        self.folder.mkdir(exist_ok=True)

    def prepare(self, case):
        names = ["x", "gamma", "beta"]
        names += ["dy"] if case.op == "backward" else []
        names += ["residual"] if case.residual else []
        names += ["mean", "variance"] if case.op == "infer" else []
        for name in ["x"] if case.copies else names:
            path = self.folder / f"{name}.bin"
            if not path.exists():
                self.make(name).tofile(path)

    def make(self, name):
        generator = np.random.default_rng([sum(map(ord, name)), self.shape.size])
        channels = self.shape.channels
        if name in ("gamma", "variance"):
            return generator.uniform(0.5, 2, channels).astype(np.float32)
        if name in ("beta", "mean"):
            return generator.uniform(-1, 1, channels).astype(np.float32)
        values = generator.standard_normal(self.shape.size, dtype=np.float32)
        if name == "x":  # every channel with a mean and a spread of its own
            offsets = generator.uniform(-2, 2, channels).astype(np.float32)
            scales = generator.uniform(0.5, 2, channels).astype(np.float32)
            axis = (1, channels) if self.shape.channels_last else (channels, 1)
            view = values.reshape(-1, *axis) if self.shape.channels_last else values.reshape(
                self.shape.outer, channels, self.shape.inner)
            view *= scales.reshape(axis)
            view += offsets.reshape(axis)
        if self.kind == "bf16":
            return bfloat16_bits(values)
        return values.astype(STORED[self.kind])

    def load(self, name):
        stored = np.float32 if name in ("gamma", "beta", "mean", "variance") else STORED[self.kind]
        return np.fromfile(self.folder / f"{name}.bin", dtype=stored)


def working_folder(needed=8 << 30):
    """A folder in memory where there is room, for files that peers read and write."""
    memory = pathlib.Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > needed
    return str(memory) if roomy else None
