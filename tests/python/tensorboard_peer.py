"""The tensorboard package as the reader of our event files.

tensorboard_peer.py made FOLDER          what tests/report/event_file_test.cpp has written
tensorboard_peer.py run FOLDER RUN       curves and histograms of a run against its own metrics

Exits with an error where they differ.
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing import event_file_loader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder):
    everything = {"scalars": 0, "histograms": 0}  # 0: no sampling
    reader = EventAccumulator(folder, size_guidance=everything)
    reader.Reload()
    return reader


def scalars(reader, tag):
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def near(a, b):
    """Values are kept as float."""
    return math.isclose(a, b, rel_tol=2.0**-23)


def made(folder):
    # Every checksum of every record, of which the accumulator would drop what it cannot read.
    events = [event for path in sorted(pathlib.Path(folder).iterdir())
              for event in event_file_loader.EventFileLoader(str(path)).Load()]
    kinds = [event.WhichOneof("what") for event in events]
    assert kinds[:2] == ["file_version", "session_log"], kinds
    assert kinds.count("summary") == 10 + 7 + 1, kinds
    assert all(1e9 < event.wall_time < 1e11 for event in events)

    reader = read(folder)
    assert reader.Tags()["scalars"] == ["loss/step"], reader.Tags()
    # Ten steps of the first file; the second one began again with step 6.
    expected = [(step, 0.5 * step) for step in range(6)] + [(step, -step) for step in range(6, 13)]
    assert scalars(reader, "loss/step") == expected, scalars(reader, "loss/step")
    (histogram,) = reader.Histograms("block0/gamma")
    assert histogram.step == 2**40
    value = histogram.histogram_value
    assert (value.min, value.max, value.num) == (-1.5, 3.25, 300.0), value
    assert (value.sum, value.sum_squares) == (100.0, 1e300), value
    assert value.bucket_limit == [-1.0, 0.0, 3.25] and value.bucket == [3.0, 97.0, 200.0], value


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def expect_curve(reader, tag, expected):
    found = scalars(reader, tag)
    same = len(found) == len(expected) and all(
        step == wanted_step and near(value, wanted)
        for (step, value), (wanted_step, wanted) in zip(found, expected))
    assert same, f"{tag}: {found[:5]}..., expected {expected[:5]}..."


def run(folder, run_folder):
    reader, run_folder = read(folder), pathlib.Path(run_folder)
    steps = lines(run_folder / "steps.jsonl")
    stride = max(len(steps) // 1000, 1)
    for tag, key in [("loss/step", "loss"), ("learning_rate", "learning_rate"),
                     ("gradient_norm", "gradient_norm")]:
        expect_curve(reader, tag, [(step["step"], step[key]) for step in steps[::stride]])

    epochs = lines(run_folder / "epochs.jsonl")
    last_step = {step["epoch"]: step["step"] for step in steps}
    for tag, value in [("loss/training", lambda e: e["training_loss"]),
                       ("accuracy/training", lambda e: e["training_accuracy"]),
                       ("loss/validation", lambda e: e["validation"]["loss"]),
                       ("accuracy/validation", lambda e: e["validation"]["accuracy"])]:
        expect_curve(reader, tag, [(last_step[e["epoch"]], value(e)) for e in epochs])

    seen = lines(run_folder / "observations.jsonl")
    for index, block in enumerate(seen[0]["blocks"]):
        def of_block(key):
            return [(o["step"], o["blocks"][index]["norm"][key]) for o in seen]
        events = reader.Histograms(f"block{index}/activation_input")
        assert [event.step for event in events] == [o["step"] for o in seen]
        for event, observation in zip(events, seen):
            wanted, value = observation["blocks"][index]["activation_input"], event.histogram_value
            assert near(value.sum, wanted["mean"] * value.num), (value, wanted)
            # Half of the values are at most the median.
            median = value.bucket_limit.index(wanted["quantiles"][3])
            assert math.isclose(sum(value.bucket[:median + 1]), value.num / 2), value
            assert math.isclose(sum(value.bucket), value.num), value
        if "norm" in block:
            for key in ("mean_shift", "variance_ratio"):
                expect_curve(reader, f"block{index}/{key}", of_block(key))
            for key in ("gamma", "beta"):
                assert len(reader.Histograms(f"block{index}/{key}")) == len(seen)


if __name__ == "__main__":
    {"made": made, "run": run}[sys.argv[1]](*sys.argv[2:])
