"""Batch normalization in double and in two passes, and how far from it a result may be.

With u the unit roundoff of float (2^-24; of double for f64 tensors), a result y = gamma * rstd *
(x - mean) + beta + residual may be off by k * u * (|gamma| rstd (|x| + |mean|) + |beta| + |residual|),
and a sum by k * u times the sum of absolute values; dx inherits both. A stored 16-bit result may be
off by half of its last place on top. k is 8 for Evenrow, whose statistics are nearly exact, and 32 + n / 64
for the others, which add n floats in some 64 partial sums whose roundings may all go one way. Where
relu's input is within its bound of 0, either side is right.
"""

import numpy as np

from operator_cases import EPS, STORED, as_wide

STRICT = 8
CHUNK = 1 << 22
HALF_PLACE = {"f32": 0.0, "f64": 0.0, "bf16": 2.0**-8, "f16": 2.0**-11}
SMALLEST = {"f32": 2.0**-149, "f64": 2.0**-1074, "bf16": 2.0**-133, "f16": 2.0**-25}


def tolerance(strict, columns):
    return STRICT if strict else 32 + columns / 64


def rows(values, shape, first, last):
    """Channels [first, last) of a tensor as [channels, columns]."""
    if shape.channels_last:
        return values.reshape(-1, shape.channels)[:, first:last].T
    part = values.reshape(shape.outer, shape.channels, shape.inner)[:, first:last]
    return part.transpose(1, 0, 2).reshape(last - first, -1)


def valid_columns(case):
    """Which columns count, or None for all."""
    if not case.lengths:
        return None
    steps = np.arange(case.shape.columns // len(case.lengths))
    return (steps[None, :] < np.array(case.lengths)[:, None]).reshape(-1)


class Expected:
    """A result and the scale of its error: the bound is k * scale + half a place."""

    def __init__(self, value, scale):
        self.value, self.scale = value, scale


def expect(case, part, valid, k, unit):
    """The results for some channels; `part` has them as [channels, columns] and [channels, 1]."""
    x, gamma, beta = part["x"], part["gamma"], part["beta"]
    counted = x if valid is None else x[:, valid]
    n = counted.shape[1]
    if case.op == "infer":
        mean, variance = part["mean"], part["variance"]
    else:
        mean = counted.mean(axis=1, keepdims=True)
        mean += (counted - mean).mean(axis=1, keepdims=True)
        variance = np.square(counted - mean).mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt(variance + EPS)
    xhat = (x - mean) * rstd
    wide_xhat = (np.abs(x) + np.abs(mean)) * rstd  # xhat before anything cancels
    pre = gamma * xhat + beta
    pre_scale = unit * (np.abs(gamma) * wide_xhat + np.abs(beta))
    if case.residual:
        pre += part["residual"]
        pre_scale += unit * np.abs(part["residual"])
    keep = 1.0 if valid is None else valid[None, :]
    if case.op != "backward":
        y = np.maximum(pre, 0) if case.relu else pre
        return {"y": Expected(y * keep, pre_scale * keep)}

    dy = part["dy"] * keep
    unsure = np.zeros(1)  # of dy: what relu may have let through or not
    if case.relu:
        unsure = np.abs(dy) * (np.abs(pre) <= k * pre_scale)
        dy = dy * (pre > 0)
    if valid is not None:  # what is not valid is not a number that counts
        xhat, wide_xhat = xhat * keep, wide_xhat * keep
    total = lambda values: values.sum(axis=1, keepdims=True)  # noqa: E731
    dbeta, dgamma = total(dy), total(dy * xhat)
    dbeta_scale, dgamma_scale = unit * total(np.abs(dy)), unit * total(np.abs(dy) * wide_xhat)
    if case.relu:
        dbeta_scale += total(unsure) / k
        dgamma_scale += total(unsure * wide_xhat) / k
    dx = gamma * rstd * (dy - dbeta / n - xhat * dgamma / n)
    dx_scale = np.abs(gamma) * rstd * (
        unit * (np.abs(dy) + np.abs(dbeta) / n + wide_xhat * np.abs(dgamma) / n)
        + unsure / k + (dbeta_scale + wide_xhat * dgamma_scale) / n)
    results = {"dx": Expected(dx * keep, dx_scale * keep), "dgamma": Expected(dgamma, dgamma_scale),
               "dbeta": Expected(dbeta, dbeta_scale)}
    if case.residual:
        results["dresidual"] = Expected(dy, np.broadcast_to(unsure / k, dy.shape))
    return results


def worst_of(got, expected, k, half, smallest):
    """The largest error as a share of its bound; more than 1 is wrong."""
    error = np.abs(got - expected.value)
    bound = k * expected.scale + half * np.abs(expected.value)
    exact = (bound == 0) & (error == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(exact, 0, error / np.where(bound == 0, 0, bound + smallest))
    worst = float(share.max()) if share.size else 0.0
    return worst if worst == worst else float("inf")


def check_copy(data, folders):
    x = data.load("x")
    same = {name: np.array_equal(x.view(np.uint8), np.fromfile(folder / "y.bin", dtype=np.uint8))
            for name, (folder, _) in folders.items()}
    return {name: (0.0 if right else float("inf"), 0) for name, right in same.items()}


def check(case, data, folders):
    """{name: (worst error as a share of its bound, k)} for results in {name: (folder, strict)}."""
    if not folders or case.copies:
        return check_copy(data, folders)
    shape, wide = case.shape, np.longdouble if case.type == "f64" else np.float64
    unit = 2.0**-53 if case.type == "f64" else 2.0**-24
    tensors = ["x"] + ["dy"] * (case.op == "backward") + ["residual"] * case.residual
    parameters = ["gamma", "beta"] + ["mean", "variance"] * (case.op == "infer")
    inputs = {name: data.load(name) for name in tensors + parameters}
    valid = valid_columns(case)
    n = shape.columns if valid is None else int(valid.sum())
    # one expectation for all: only which relu is unsure depends on k, so the widest k there
    widest = max(tolerance(strict, n) for _, strict in folders.values())
    worst = dict.fromkeys(folders, 0.0)
    outputs = {name: {} for name in folders}
    step = max(1, CHUNK // shape.columns)
    for first in range(0, shape.channels, step):
        last = min(first + step, shape.channels)
        part = {name: as_wide(rows(inputs[name], shape, first, last), case.type, wide)
                for name in tensors}
        part |= {name: inputs[name][first:last, None].astype(wide) for name in parameters}
        expectations = {}
        for name, (folder, strict) in folders.items():
            k = tolerance(strict, n)
            at = k if case.relu and case.op == "backward" else widest
            if at not in expectations:
                expectations[at] = expect(case, part, valid, at, unit)
            for result, expected in expectations[at].items():
                of_tensor = result in ("y", "dx", "dresidual")
                kind = case.type if of_tensor or case.type == "f64" else "f32"
                if result not in outputs[name]:
                    outputs[name][result] = np.fromfile(folder / f"{result}.bin", dtype=STORED[kind])
                got = outputs[name][result]
                got = rows(got, shape, first, last) if of_tensor else got[first:last, None]
                worst[name] = max(worst[name], worst_of(as_wide(got, kind, wide), expected, k,
                                                        HALF_PLACE[kind], SMALLEST[kind]))
    return {name: (share, tolerance(folders[name][1], n)) for name, share in worst.items()}
