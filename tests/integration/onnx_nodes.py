#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test-timeout: 400
"""
All node tests of the ONNX project that are installed, through the importer and a live agent: each
case is right or refused with a reason; none is wrong.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

FOLDER = pathlib.Path(os.environ.get("ONNX_TESTDATA", "/usr/share/libonnx-testdata/data")) / "node"
RUNNER = pathlib.Path(os.environ["OOO_BUILD"]) / "tests/integration/node_runner"
LEAST_RIGHT = 150
VERDICTS = ["pass", "fixed", "refused", "wrong", "failed"]


def fields(data):
    """The fields of an encoded protobuf message: (number, value), bytes where delimited."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            at += 8 if key & 7 == 1 else 4


def operator(folder):
    """The operator that a case is about; an expanded case is about the one it was expanded from."""
    original = folder.with_name(re.sub(r"_expanded.*", "", folder.name))
    model = (original if original.is_dir() else folder) / "model.onnx"
    graph = next(value for number, value in fields(model.read_bytes()) if number == 7)
    nodes = [value for number, value in fields(graph) if number == 1]
    names = [next(v for n, v in fields(node) if n == 4).decode() for node in nodes]
    return next((name for name in names if name != "Constant"), "Constant")


def report(lines):
    table = collections.defaultdict(collections.Counter)
    for line in lines:
        verdict, name = line.split(":", 1)[0].split()
        table[operator(FOLDER / name)][verdict] += 1
    print(f"{'operator':28}" + "".join(f"{v:>9}" for v in VERDICTS))
    for name in sorted(table):
        print(f"{name:28}" + "".join(f"{table[name][v] or '.':>9}" for v in VERDICTS))
    total = sum(table.values(), collections.Counter())
    print(f"{'all':28}" + "".join(f"{total[v]:>9}" for v in VERDICTS))
    return total


if not FOLDER.is_dir():
    ooo.skip(f"{FOLDER} is not there (package libonnx-testdata)")
cases = sorted(p for p in FOLDER.iterdir() if (p / "model.onnx").exists())

with ooo.Agent():
    done = subprocess.run([str(RUNNER), *map(str, cases)], capture_output=True, text=True, timeout=380)
    lines = done.stdout.splitlines()
    total = report(lines)
    for line in lines:
        if line.startswith(("wrong", "failed")):
            print(line)
    print(done.stderr[-4000:])
    assert len(lines) == len(cases), f"the runner stopped after {len(lines)} of {len(cases)} cases"
    assert done.returncode == 0, f"the runner ended with status {done.returncode}"
    assert total["wrong"] == 0 and total["failed"] == 0
    assert all(": " in line for line in lines if line.startswith("refused")), "a refusal without a reason"
    right = total["pass"] + total["fixed"]
    assert right >= LEAST_RIGHT, f"only {right} cases are right, {LEAST_RIGHT} are expected"
