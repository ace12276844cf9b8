"""The protocol of peer.hpp for peers in Python."""

import json
import pathlib
import sys
import time


class Unsupported(Exception):
    """What a peer says that it cannot do."""


def answer(request, hello, make, operations):
    what = request["do"]
    if what == "hello":
        return hello
    key = request["id"]
    if what == "setup":
        operations[key] = make(request)
    elif what == "drop":
        operations.pop(key, None)
    elif what == "check":
        operations[key].run()
        operations[key].write(pathlib.Path(request["folder"]))
    elif what == "time":
        run = operations[key].run
        for _ in range(request.get("warmup", 1)):
            run()
        start = time.perf_counter_ns()
        for _ in range(request["calls"]):
            run()
        return {"ns": time.perf_counter_ns() - start}
    else:
        raise ValueError(f"unknown request: {what}")
    return {"ok": True}


def serve(hello, make):
    """Answers requests until the input ends; make(request) is an operation: run(), write(folder)."""
    operations = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), hello, make, operations)
        except Unsupported as reason:
            reply = {"unsupported": str(reason)}
        except Exception as error:  # whatever it is, the driver has to know
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
