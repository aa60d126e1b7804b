#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recorder's files and what ooo-ctl makes of them: record save, timeline, no recorder, a dead agent's."""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

CTL = str(ooo.BIN / "ooo-ctl")
RUN = pathlib.Path(os.environ["OOO_RUNTIME_DIR"])
REQUIRED = {"M": ("name", "args"), "X": ("ts", "dur", "name"), "i": ("ts", "name", "s"),
            "b": ("ts", "name", "cat", "id"), "e": ("ts", "name", "cat", "id")}


def ctl(*args, status=0):
    done = subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (args, done.returncode, done.stderr)
    return done.stdout if not status else done.stderr


def load(*args):
    return subprocess.Popen([str(ooo.BIN / "ooo-run"), "--quiet", *args], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def check_trace(path, names):
    """The trace-event format, and what this one promises beyond it."""
    trace = json.loads(pathlib.Path(path).read_text())
    tracks, open_slices, last = {}, {}, {}
    seen = {"X": 0, "b": 0}
    for event in trace["traceEvents"]:
        ph = event["ph"]
        assert all(key in event for key in REQUIRED[ph] + ("pid", "tid")), event
        if ph == "M":
            tracks[event["pid"], event["tid"], event["name"]] = event["args"]["name"]
            continue
        key = event["pid"], event["tid"]
        assert event["ts"] >= last.get((key, "any"), 0), "a track goes back in time"
        last[key, "any"] = event["ts"]
        seen[ph] = seen.get(ph, 0) + 1
        if ph == "X":
            assert event["dur"] >= 0 and event["ts"] >= last.get((key, "end"), 0) - 0.002, event
            last[key, "end"] = event["ts"] + event["dur"]
        if ph == "b":
            open_slices[event["cat"], event["id"]] = key
        if ph == "e":
            assert open_slices.pop((event["cat"], event["id"])) == key
        if event.get("cat") == "bundle":
            assert event["args"]["class"] and len(event["args"]["members"]) >= 1, event
            assert event["name"].endswith(f"x{len(event['args']['members'])}"), event
    assert not open_slices, open_slices
    assert seen["X"] > 10 and seen["b"] > 10, seen
    for name in names:
        assert any(label.endswith(":" + name) for label in tracks.values()), (name, tracks)
    return trace


def saved(path):
    """A saved recorder holds whole requests whose stages add up, and bundles that refer to them."""
    lines = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    assert lines[0]["record"] == "ooo" and lines[0]["version"] == 1
    tenants = {line["tenant"] for line in lines if "uid" in line}
    requests = [line for line in lines if "submit_ns" in line and "bundle" not in line]
    bundles = [line for line in lines if "bundle" in line]
    numbers = {request["number"] for request in requests}
    assert len(requests) > 10 and len(bundles) > 10
    for request in requests:
        assert request["submit_ns"] <= request["fetch_ns"] <= request["finish_ns"]
        assert abs(sum(request["stage_ns"].values()) - request["latency_ns"]) <= 2000, request
        assert request["tenant"] in tenants
    for bundle in bundles:
        assert bundle["submit_ns"] <= bundle["start_ns"] <= bundle["end_ns"] <= bundle["retire_ns"] + 1000
    members = [member for bundle in bundles for member in bundle["members"]]
    if all(request["weight"] == 1 for request in requests):
        missing = [member for member in members if member[0] not in numbers]
        # What was in flight when it was saved is in bundles, and not yet among the requests.
        assert len({member[0] for member in missing}) < 200, missing
    return requests


def main():
    scratch = ooo.TMP
    assert "no flight recorder" in ctl("why", status=3)
    for device, args in (("cpu", []), ("sim", ["--sim-step-ns", "20000", "--sim-lanes", "3"])):
        with ooo.Agent(*args, device=device) as agent:
            tenants = load("--zoo", "mlp", "--tenants", "3", "--name", "t", "--duration", "60s",
                           "--rate", "100/s")
            out = scratch / f"{device}.json"
            report = json.loads(ctl("--json", "timeline", "-d", "800ms", "-o", out))
            while report["events"] < 100: # slow machines start slowly
                report = json.loads(ctl("--json", "timeline", "-d", "800ms", "-o", out))
            check_trace(out, ["t-0", "t-1", "t-2"])
            mode = (RUN / "record.0").stat().st_mode & 0o777
            assert mode == 0o640, oct(mode)
            ctl("record", "save", scratch / "saved")
            requests = saved(scratch / "saved")
            assert "t-0" in ctl("record", "show", "tenant", "t-0", "--count", 3)
            print(f"{device}: {report['events']} events, {len(requests)} requests saved")
            if device == "cpu": # what is left of an agent that died tells the same
                agent.stop(signal.SIGKILL)
                assert len(saved_after(scratch)) >= len(requests)
            tenants.kill()
            tenants.wait()
            if device == "cpu":
                break_file()
                continue
    with ooo.Agent("--record", "off", device="sim"):
        assert "no flight recorder" in ctl("record", status=3)
        assert not (RUN / "record.0").exists(), "--record off left a dead agent's file"


def saved_after(scratch):
    ctl("record", "save", scratch / "after")
    return saved(scratch / "after")


def break_file():
    """Whatever the file holds, ooo-ctl says so and ends."""
    path = RUN / "record.0"
    good = path.read_bytes()
    for broken in (b"", b"x" * 5000, good[:4096], good[:300] + b"\xff" * 300 + good[600:]):
        path.unlink()
        path.write_bytes(broken)
        assert "not a flight recorder" in ctl("why", status=1)


main()
