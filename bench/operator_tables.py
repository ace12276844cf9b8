"""Tables of operator_bench.py, as aligned text or as Markdown, and the figures in them."""

import math


class Table:
    def __init__(self, *heads):
        self.heads, self.lines = heads, []

    def add(self, *cells):
        self.lines.append([str(cell) for cell in cells])

    def text(self, markdown):
        if markdown:
            rule = ["---"] + ["--:"] * (len(self.heads) - 1)
            return "\n".join("| " + " | ".join(line) + " |"
                             for line in [list(self.heads), rule, *self.lines])
        widths = [max(map(len, column)) for column in zip(self.heads, *self.lines)]
        aligned = [[line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in
                                                 zip(line[1:], widths[1:])]
                   for line in [list(self.heads), *self.lines]]
        return "\n".join("  ".join(line) for line in aligned)


def time_of(candidate):
    """Microseconds to three figures, or what kept it from being timed."""
    if not candidate.ok:
        return candidate.status
    microseconds = candidate.ns / 1e3
    digits = max(0, 2 - math.floor(math.log10(microseconds)))
    return f"{microseconds:.{digits}f}"


def times(value, candidate=None):
    """A ratio, or why there is none."""
    if value is None:
        return candidate.status if candidate and not candidate.ok else "-"
    return f"{value:.2f}"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def limit_of(results):
    """Nanoseconds of the better of the two copies."""
    return min((results[name].ns for name in ("copy", "copy_stream") if results[name].ok),
               default=None)


class Group:
    """Ratios that belong together, what they should be, and whether they are."""

    def __init__(self, name, peers, belongs, mean, least=None):
        self.name, self.peers, self.belongs = name, peers, belongs
        self.mean, self.least = mean, least

    def target(self):
        return f"{self.mean}" + (f", none < {self.least}" if self.least else "")

    def add_to(self, table, ratios):
        """`ratios` are (shape, op, peer, ratio or None)."""
        for peer in self.peers:
            mine = [entry for entry in ratios if entry[2] == peer and self.belongs(entry[0])]
            known = [entry for entry in mine if entry[3] is not None]
            if not known:
                continue
            mean = geometric_mean([entry[3] for entry in known])
            lowest = min(known, key=lambda entry: entry[3])
            by_op = [geometric_mean(of_op) if (of_op := [e[3] for e in known if e[1] == op]) else None
                     for op in ("forward", "backward")]
            met = mean >= self.mean and (self.least is None or lowest[3] >= self.least)
            table.add(self.name, peer, len(known), len(mine) - len(known), times(mean),
                      *map(times, by_op), times(lowest[3]), f"{lowest[0]} {lowest[1]}",
                      self.target(), "met" if met else "missed")


GROUP_HEADS = ("group", "peer", "n", "out", "mean", "fwd", "bwd", "least", "where", "target", "verdict")


def groups(onednn_peers, torch_peers):
    return [
        Group("dense, nchw", onednn_peers, lambda shape: shape.layout != "nhwc", 2.0, 1.1),
        Group("nhwc", onednn_peers, lambda shape: shape.layout == "nhwc", 1.3, 1.0),
        Group("cache", onednn_peers, lambda shape: "cache" in shape.tags, 2.5),
        Group("all", torch_peers, lambda shape: True, 5.0, 1.5),
    ]
