#!/usr/bin/env python3
"""Trains small networks with PyTorch and stores what parity_test.cpp compares Evenrow with.

make_reference.py FOLDER writes
  FOLDER/data.safetensors        examples, targets, and the examples of every mini-batch
  FOLDER/CASE.safetensors        one a case: the description (JSON, metadata "case"), the initial
                                 parameters, and PyTorch's results in float64
  losses                  [STEPS]          training loss of every step
  outputs                 [EXAMPLES, OUTPUTS]  inference after training, of all examples
  blocks.B.running_mean, blocks.B.running_variance   after training
and, for each of these, NAME.rounding: what rounding does to it in float32 (see `measure`).

Initial parameters and data are float32 numbers, so a float64 run starts from the same ones.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

STEPS, BATCH, EXAMPLES, INPUTS, OUTPUTS = 50, 24, 96, 12, 5
RUNS = 16  # float32 runs that measure rounding


def block(units, activation, norm=None, new_weight=0.1, eps=1e-5, input_activation="none",
          residual=0, bias=None):
    """A dense block as evenrow/network.hpp has it. norm: None, 'before',
    'after' or 'before_linear'. bias: None where the norm decides."""
    if bias is None:
        bias = norm != "before"
    return {"units": units, "activation": activation, "norm": "batch" if norm else "none",
            "placement": norm or "before", "new_weight": new_weight, "eps": eps,
            "input_activation": input_activation, "residual": residual, "bias": bias}


NETWORKS = {
    "before": [block(16, "relu", "before"),
               block(9, "tanh", "before", new_weight=0.3, eps=1e-3),
               block(OUTPUTS, "none")],
    "after": [block(16, "gelu", "after"),
              block(9, "relu", "after", new_weight=0.3, eps=1e-3),
              block(OUTPUTS, "none")],
    # The ResNet for tables of Gorishniy et al. (2021), two residual blocks.
    # What only norms read has no bias: its gradient would be rounding errors.
    "residual": [block(9, "none", bias=False),
                 block(16, "relu", "before_linear"), block(9, "none", residual=2, bias=False),
                 block(11, "relu", "before_linear", new_weight=0.3, eps=1e-3),
                 block(9, "none", residual=2, bias=False),
                 block(OUTPUTS, "none", "before_linear", input_activation="relu")],
    "plain": [block(16, "leaky_relu"), block(9, "sigmoid"), block(OUTPUTS, "none")],
}

OPTIMIZERS = {  # learning rate and the weight decay of the runs that have one
    "sgd": (0.1, 0.01), "momentum": (0.02, 0.01), "nesterov": (0.02, 0.01),
    "rmsprop": (1e-3, 0.01), "adam": (3e-3, 0.01), "adamw": (3e-3, 0.1),
}

LOSSES = {
    "cross_entropy": {"kind": "cross_entropy"},
    "smoothed_cross_entropy": {"kind": "cross_entropy", "label_smoothing": 0.1},
    "binary_cross_entropy": {"kind": "binary_cross_entropy"},
    "squared_error": {"kind": "squared_error"},
    "huber": {"kind": "huber", "huber_delta": 0.7},
}


def cases():
    """Every optimizer on every network, weight decay in every second run; the losses go round, so
    that each of them meets each network."""
    losses = list(LOSSES)
    for o, (optimizer, (rate, decay)) in enumerate(OPTIMIZERS.items()):
        for n, (network, blocks) in enumerate(NETWORKS.items()):
            loss = losses[(o + 2 * n) % len(losses)]
            yield {"name": f"{optimizer}-{network}-{loss}", "inputs": INPUTS, "blocks": blocks,
                   "loss": {"label_smoothing": 0.0, "huber_delta": 1.0, **LOSSES[loss]},
                   "optimizer": {"kind": optimizer, "momentum": 0.9,
                                 "weight_decay": decay if (o + n) % 2 == 0 else 0.0},
                   "learning_rate": rate}


def make_data(rng):
    x = rng.normal(rng.uniform(-1, 1, INPUTS), rng.uniform(0.5, 2, INPUTS), (EXAMPLES, INPUTS))
    scores = np.tanh(x @ rng.normal(0, 0.4, (INPUTS, OUTPUTS))) + rng.normal(
        0, 0.3, (EXAMPLES, OUTPUTS))
    values = 2 * scores
    values[::7] *= 3  # outliers: both branches of the Huber loss
    # Whole epochs, shuffled; BATCH divides EXAMPLES.
    epochs = -(-STEPS * BATCH // EXAMPLES)
    order = np.concatenate([rng.permutation(EXAMPLES) for _ in range(epochs)])
    return {"x": x.astype(np.float32), "classes": scores.argmax(axis=1).astype(np.int32),
            "values": values.astype(np.float32), "labels": (scores > 0).astype(np.float32),
            "order": order[:STEPS * BATCH].reshape(STEPS, BATCH).astype(np.int32)}


def norm_width(b, inputs):
    return inputs if b["placement"] == "before_linear" else b["units"]


def make_parameters(case, rng):
    """Initial parameters; gamma, beta and bias away from 1 and 0, so that each has an effect."""
    parameters, width = {}, case["inputs"]
    for i, b in enumerate(case["blocks"]):
        units = b["units"]
        parameters[f"blocks.{i}.weight"] = rng.normal(0, np.sqrt(2 / width), (units, width))
        if b["bias"]:
            parameters[f"blocks.{i}.bias"] = rng.normal(0, 0.1, units)
        if b["norm"] == "batch":
            channels = norm_width(b, width)
            parameters[f"blocks.{i}.gamma"] = rng.uniform(0.5, 1.5, channels)
            parameters[f"blocks.{i}.beta"] = rng.normal(0, 0.1, channels)
        width = units
    return {name: value.astype(np.float32) for name, value in parameters.items()}


ACTIVATIONS = {
    "none": torch.nn.Identity, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh,
    "gelu": torch.nn.GELU, "leaky_relu": torch.nn.LeakyReLU, "sigmoid": torch.nn.Sigmoid,
}


class Block(torch.nn.Module):
    """linear -> [norm] -> activation, or linear -> activation -> norm, or
    norm -> input_activation -> linear -> activation."""

    def __init__(self, b, inputs):
        super().__init__()
        self.linear = torch.nn.Linear(inputs, b["units"], bias=b["bias"])
        # PyTorch's `momentum` is the weight of the new batch.
        self.norm = (torch.nn.BatchNorm1d(norm_width(b, inputs), eps=b["eps"],
                                          momentum=b["new_weight"])
                     if b["norm"] == "batch" else torch.nn.Identity())
        self.activation = ACTIVATIONS[b["activation"]]()
        self.input_activation = ACTIVATIONS[b["input_activation"]]()
        self.placement, self.residual = b["placement"], b["residual"]

    def forward(self, x):
        if self.placement == "before_linear":
            return self.activation(self.linear(self.input_activation(self.norm(x))))
        z = self.linear(self.input_activation(x))
        if self.placement == "before":
            return self.activation(self.norm(z))
        return self.norm(self.activation(z))

    def tensor(self, kind):
        return {"weight": lambda: self.linear.weight, "bias": lambda: self.linear.bias,
                "gamma": lambda: self.norm.weight, "beta": lambda: self.norm.bias}[kind]()


class Network(torch.nn.Sequential):
    """Blocks, with what their residual connections add."""

    def forward(self, x):
        reads = []
        for b in self:
            reads.append(x)
            x = b(x) + (reads[-b.residual] if b.residual else 0)
        return x


def make_optimizer(case, network):
    # Weight decay is for weights: gamma, beta and biases are a group without it.
    weights = [b.linear.weight for b in network]
    others = [p for p in network.parameters() if not any(p is w for w in weights)]
    spec, rate = case["optimizer"], case["learning_rate"]
    groups = [{"params": weights, "weight_decay": spec["weight_decay"]},
              {"params": others, "weight_decay": 0.0}]
    kind = spec["kind"]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=rate)
    if kind in ("momentum", "nesterov"):
        return torch.optim.SGD(groups, lr=rate, momentum=spec["momentum"],
                               nesterov=kind == "nesterov")
    return {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW}[kind](groups, lr=rate)


def make_loss(case):
    spec = case["loss"]
    return {"cross_entropy": lambda: torch.nn.CrossEntropyLoss(
                label_smoothing=spec["label_smoothing"]),
            "binary_cross_entropy": torch.nn.BCEWithLogitsLoss,
            "squared_error": torch.nn.MSELoss,
            "huber": lambda: torch.nn.HuberLoss(delta=spec["huber_delta"])}[spec["kind"]]()


def targets_name(case):
    return {"cross_entropy": "classes", "binary_cross_entropy": "labels"}.get(
        case["loss"]["kind"], "values")


def train(case, parameters, data, dtype):
    """The results (see the top of this file) of one run in this precision, as float64 arrays."""
    widths = [case["inputs"]] + [b["units"] for b in case["blocks"]]
    network = Network(*(Block(b, w) for b, w in zip(case["blocks"], widths)))
    network.to(dtype).train()
    with torch.no_grad():
        for name, value in parameters.items():
            _, i, kind = name.split(".")
            network[int(i)].tensor(kind).copy_(torch.from_numpy(value))
    optimizer, loss_of = make_optimizer(case, network), make_loss(case)
    x = torch.from_numpy(data["x"]).to(dtype)
    targets = torch.from_numpy(data[targets_name(case)])
    targets = targets.long() if case["loss"]["kind"] == "cross_entropy" else targets.to(dtype)

    losses = []
    for rows in torch.from_numpy(data["order"]).long():
        optimizer.zero_grad()
        loss = loss_of(network(x[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    results = {"losses": np.array(losses)}
    for i, b in enumerate(case["blocks"]):
        if b["norm"] == "none":
            continue
        # PyTorch normalizes with the biased variance of the batch but keeps the unbiased one,
        # n / (n - 1) as large, for inference; Evenrow keeps the biased one. Every batch here has
        # n = BATCH examples, so after STEPS updates PyTorch's running variance is
        #   k * 1 + n / (n - 1) * V,   k = (1 - new_weight)^STEPS the weight of the initial 1,
        # and Evenrow's is k * 1 + V. Inference below is with Evenrow's.
        norm = network[i].norm
        kept = (1 - b["new_weight"]) ** STEPS
        norm.running_var.sub_(kept).mul_((BATCH - 1) / BATCH).add_(kept)
        results[f"blocks.{i}.running_mean"] = norm.running_mean.double().numpy().copy()
        results[f"blocks.{i}.running_variance"] = norm.running_var.double().numpy().copy()
    network.eval()
    with torch.no_grad():
        results["outputs"] = network(x).double().numpy().copy()
    return results


def renumbered(case, parameters, data, rng):
    """The same problem with inputs, units, outputs and the examples of each mini-batch numbered
    another way: the same mathematics, other orders of summation. Returns parameters, data, and a
    function that brings results back to the original numbering."""
    widths = [case["inputs"]] + [b["units"] for b in case["blocks"]]
    orders = [rng.permutation(w) for w in widths]
    for i, b in enumerate(case["blocks"]):
        if b["residual"]:  # units that are added have equal numbers
            orders[i + 1] = orders[i + 1 - b["residual"]]

    def order_of(name):  # of the channels of a norm, or of a block's units
        i, kind = int(name.split(".")[1]), name.split(".")[2]
        of_norm = kind in ("gamma", "beta") or kind.startswith("running")
        before = of_norm and case["blocks"][i]["placement"] == "before_linear"
        return orders[i] if before else orders[i + 1]

    new_parameters = {}
    for name, value in parameters.items():
        value = value[order_of(name)]
        i = int(name.split(".")[1])
        new_parameters[name] = value[:, orders[i]] if value.ndim == 2 else value
    back = np.argsort(orders[-1])
    new_data = {"x": data["x"][:, orders[0]], "classes": back[data["classes"]].astype(np.int32),
                "values": data["values"][:, orders[-1]], "labels": data["labels"][:, orders[-1]],
                "order": rng.permuted(data["order"], axis=1)}

    def original(results):
        restored = {}
        for name, value in results.items():
            if name == "losses":
                restored[name] = value
            elif name == "outputs":
                restored[name] = value[:, back]
            else:
                restored[name] = value[np.argsort(order_of(name))]
        return restored

    return new_parameters, new_data, original


def measure(case, parameters, data, exact, rng):
    """What float32 rounding does to this problem: the root mean square, over RUNS float32 runs
    that sum in different orders, of the distance from the float64 run, and at least half a unit in
    the last place of the result itself, in case all runs are lucky. Of losses, the largest up to
    each step; of the others, the largest over the elements. Rounding errors are proportional to
    the unit in the last place, so 2^-29 of it is what float64 rounding does."""
    distances = {name: [] for name in exact}
    for _ in range(RUNS):
        new_parameters, new_data, original = renumbered(case, parameters, data, rng)
        for name, value in original(train(case, new_parameters, new_data, torch.float32)).items():
            distances[name].append(value - exact[name])
    rounding = {}
    for name, values in distances.items():
        rms = np.sqrt(np.mean(np.square(values), axis=0))
        rms = np.maximum(rms, 2.0**-24 * np.abs(exact[name]))
        rounding[f"{name}.rounding"] = (
            np.maximum.accumulate(rms) if name == "losses" else rms.max(keepdims=True).reshape(1))
    return rounding


def check(case, exact, again):
    """Numbering alone must change nothing, and a run in which nothing is learned shows nothing."""
    for name, value in exact.items():
        assert np.allclose(value, again[name], rtol=1e-10, atol=1e-12), (case["name"], name)
    epoch = EXAMPLES // BATCH
    first, last = exact["losses"][:epoch].mean(), exact["losses"][-epoch:].mean()
    assert last < 0.95 * first, (case["name"], first, last)
    print(f"{case['name']:40} loss {first:.4f} -> {last:.4f}", end="")


def main(arguments):
    if len(arguments) != 1:
        print("usage: make_reference.py FOLDER", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder = pathlib.Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    data = make_data(np.random.default_rng(1))
    save_file(data, folder / "data.safetensors")
    for number, case in enumerate(cases()):
        rng = np.random.default_rng([2, number])
        parameters = make_parameters(case, rng)
        exact = train(case, parameters, data, torch.float64)
        new_parameters, new_data, original = renumbered(case, parameters, data, rng)
        check(case, exact, original(train(case, new_parameters, new_data, torch.float64)))
        rounding = measure(case, parameters, data, exact, rng)
        print(f", rounding {rounding['losses.rounding'][-1]:.1e}")
        description = {**case, "torch": torch.__version__}
        tensors = {name: np.ascontiguousarray(value)
                   for name, value in (parameters | exact | rounding).items()}
        save_file(tensors, folder / f"{case['name']}.safetensors",
                  metadata={"case": json.dumps(description, sort_keys=True)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
