"""The questions of operator_bench.py: each a function that measures and prints its tables."""

import dataclasses

from operator_cases import BYTES, Case, Shape, draw_lengths, traffic
from operator_peers import Candidate, ratio
from operator_tables import (GROUP_HEADS, Table, geometric_mean, groups, limit_of, percent, time_of,
                             times)

OPS = ("forward", "backward")
SHORT = {"forward": "fwd", "backward": "bwd"}


def candidates_of(bench, case, suffix=""):
    """Every peer doing the same."""
    return [Candidate(name + suffix, peer, case) for name, peer in bench.peers.items()]


def copies(bench, case):
    return [Candidate(op, bench.ours, Case(case.shape, op, case.type))
            for op in ("copy", "copy_stream")]


def against(bench, results, suffix=""):
    """A cell a peer: how many times as long as ours it takes."""
    ours = results[bench.ours.name + suffix]
    return [times(ratio(results[name + suffix], ours), results[name + suffix])
            for name in bench.others]


def summary(bench, values, what):
    """Geometric means of the cells above, which are (label, ratio or None)."""
    lines = []
    for label in dict.fromkeys(label for label, _ in values):
        known = [value for other, value in values if other == label and value is not None]
        if known:
            lines.append(f"  {label}: {geometric_mean(known):.2f}, least {min(known):.2f}, n {len(known)}")
    if lines:
        bench.say("\n".join([f"{what}:", *lines]))


def main(bench):
    """Training, float, nothing fused."""
    table = Table("shape", "op", "us", "GB/s", "B/value", "limit", *bench.others)
    ratios = []
    for shape in bench.shapes():
        for op in OPS:
            case = Case(shape, op)
            results = bench.measure("main", copies(bench, case) + candidates_of(bench, case))
            ours, limit = results[bench.ours.name], limit_of(results)
            moved = traffic(case, bench.budget, bench.threads)
            rate = f"{moved * shape.size / ours.ns:.1f}" if ours.ok else "-"
            share = moved / (2 * BYTES["f32"]) * limit / ours.ns if ours.ok and limit else None
            table.add(shape, SHORT[op], time_of(ours), rate, moved, percent(share),
                      *against(bench, results))
            ratios += [(shape, op, name, ratio(results[name], ours)) for name in bench.others]
    bench.show("Training, f32, no activation", table)
    means = Table(*GROUP_HEADS)
    for group in groups([name for name in bench.others if name.startswith("oneDNN")],
                        [name for name in bench.others if name == "PyTorch"]):
        group.add_to(means, ratios)
    bench.show("Geometric means of the ratios above", means)
    if bench.builds:
        summary(bench, [(name, value) for _, _, name, value in ratios if name in bench.builds],
                "other builds")


def infer(bench):
    """Inference beside a plain copy of the tensor."""
    table = Table("shape", "us", "GB/s", "copy us", "time/copy", *bench.others)
    values = []
    for shape in bench.shapes():
        case = Case(shape, "infer")
        results = bench.measure("infer", copies(bench, case) + candidates_of(bench, case))
        ours, limit = results[bench.ours.name], limit_of(results)
        rate = f"{traffic(case, bench.budget, bench.threads) * shape.size / ours.ns:.1f}"
        to_copy = ours.ns / limit if ours.ok and limit else None
        table.add(shape, time_of(ours), rate if ours.ok else "-",
                  f"{limit / 1e3:.3g}" if limit else "-", times(to_copy), *against(bench, results))
        values += [("time/copy", to_copy)]
        values += [(name, ratio(results[name], ours)) for name in bench.others]
    bench.show("Inference, f32", table)
    summary(bench, values, "geometric means")


def fused(bench):
    """relu, and residual + relu, beside the operator alone."""
    variants = {" relu": {"relu": True}, " add+relu": {"relu": True, "residual": True}}
    table = Table("shape", "op", "fused", "us", "us alone", "time", "bytes", "time/bytes",
                  *bench.others)
    values = []
    for shape in bench.shapes("quick"):
        for op in OPS:
            plain = Case(shape, op)
            candidates = [Candidate(bench.ours.name, bench.ours, plain)]
            for suffix, fields in variants.items():
                candidates += candidates_of(bench, dataclasses.replace(plain, **fields), suffix)
            results = bench.measure("fused", candidates)
            alone = results[bench.ours.name]
            for suffix, fields in variants.items():
                ours = results[bench.ours.name + suffix]
                longer = ratio(ours, alone)
                more = (traffic(dataclasses.replace(plain, **fields), bench.budget, bench.threads) /
                        traffic(plain, bench.budget, bench.threads))
                table.add(shape, SHORT[op], suffix.strip(), time_of(ours), time_of(alone),
                          times(longer, ours), f"{more:.2f}",
                          times(longer and longer / more), *against(bench, results, suffix))
                values.append((f"{SHORT[op]}{suffix} time/bytes", longer and longer / more))
    bench.show("Fused activation and residual, f32; time and bytes are of the operator alone = 1", table)
    summary(bench, values, "geometric means")


def masked(bench):
    """Padded sequences beside a tensor of as many columns, none of them padding."""
    table = Table("shape", "op", "valid", "us padded", "us compact", "us full", "padded/compact",
                  "padded/full")
    values = []
    for shape in bench.shapes("lengths"):
        lengths = draw_lengths(shape)
        compact = Shape(shape.layout, shape.outer, shape.channels, sum(lengths) // shape.outer)
        for op in OPS:
            results = bench.measure("masked", [
                Candidate("padded", bench.ours, Case(shape, op, lengths=lengths)),
                Candidate("compact", bench.ours, Case(compact, op)),
                Candidate("full", bench.ours, Case(shape, op))])
            padded = results["padded"]
            to_compact, to_full = ratio(padded, results["compact"]), ratio(padded, results["full"])
            table.add(shape, SHORT[op], percent(sum(lengths) / shape.columns), time_of(padded),
                      time_of(results["compact"]), time_of(results["full"]), times(to_compact),
                      times(to_full))
            values.append((SHORT[op], to_compact))
    bench.show("Sequences of unequal length, f32", table)
    summary(bench, values, "padded/compact")


def bf16(bench):
    """16-bit storage beside float, and beside the others' 16-bit storage."""
    table = Table("shape", "op", "us f32", "us bf16", "us f16", "f32/bf16", "f32/f16")
    others = Table("shape", "op", "type", "us", *bench.others)
    values = []
    for shape in bench.shapes("memory"):
        for op in OPS:
            candidates = [Candidate("f32", bench.ours, Case(shape, op))]
            for kind in ("bf16", "f16"):
                candidates += candidates_of(bench, Case(shape, op, kind), f" {kind}")
            results = bench.measure("bf16", candidates)
            full = results["f32"]
            halves = [results[f"{bench.ours.name} {kind}"] for kind in ("bf16", "f16")]
            gains = [ratio(full, half) for half in halves]
            table.add(shape, SHORT[op], time_of(full), *map(time_of, halves), *map(times, gains))
            for kind, half, gain in zip(("bf16", "f16"), halves, gains):
                others.add(shape, SHORT[op], kind, time_of(half),
                           *against(bench, results, f" {kind}"))
                values.append((f"{SHORT[op]} f32/{kind}", gain))
                values += [(f"{name} {kind}", ratio(results[f"{name} {kind}"], half))
                           for name in bench.others]
    bench.show("16-bit storage", table)
    bench.show("16-bit storage, all peers", others)
    summary(bench, values, "geometric means")


def chain(bench):
    """Forward, then something that reads all of y: what stores past the caches would cost."""
    table = Table("shape", "us alone", "us with sum", "sum adds", *bench.others)
    values = []
    for shape in bench.shapes():
        results = bench.measure("chain", [Candidate("alone", bench.ours, Case(shape, "forward"))] +
                                candidates_of(bench, Case(shape, "chain")))
        ours, alone = results[bench.ours.name], results["alone"]
        longer = ratio(ours, alone)
        table.add(shape, time_of(alone), time_of(ours), percent(longer and longer - 1),
                  *against(bench, results))
        values += [(name, ratio(results[name], ours)) for name in bench.others]
    bench.show("Forward, then a sum over y, f32", table)
    summary(bench, values, "geometric means")


SECTIONS = {"main": main, "infer": infer, "fused": fused, "masked": masked, "bf16": bf16,
            "chain": chain}
