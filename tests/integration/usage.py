#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger: sums to the device's busy time, outlives agents however they end, survives broken files."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

CTL = str(ooo.BIN / "ooo-ctl")
DIR = pathlib.Path(os.environ["OOO_RUNTIME_DIR"]) / "usage"


def ctl(*args, status=0):
    done = subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (args, done.returncode, done.stderr)
    return done.stdout if not status else done.stderr


def usage(*args):
    return json.loads(ctl("--json", "usage", *args))


def sum_is_busy_time(device, *args):
    """Over tenants that came and went on an agent that is idle now."""
    with ooo.Agent(*args, device=device):
        before = usage()["all"] if (DIR / "usage.log").exists() else None
        ooo.run("--zoo", "mlp", "--tenants", 4, "--requests", 60, "--inflight", 3, "--name", "a")
        ooo.run("--zoo", "mlp", "--tenants", 1, "--requests", 20, "--name", "b")
        busy = json.loads(ctl("--json", "stats"))["dispatcher"]["busy_ms"] / 1e3
        now = usage()
        names = [row["tenant"] for row in now["tenants"]]
        device_s = now["all"]["device_s"] - (before["device_s"] if before else 0)
        assert busy > 0 and abs(device_s - busy) <= busy / 100, (device_s, busy)
        assert {"a-0", "a-3", "b-0"} <= set(names), names
        assert now["all"]["requests"] - (before["requests"] if before else 0) == 4 * 60 + 20, now["all"]
        for row in now["tenants"]:
            assert row["input_mib"] > 0 and row["weights_mib"] > 0 and row["memory_gib_s"] > 0, row
        assert abs(sum(row["device_percent"] for row in now["tenants"]) - 100) < 0.01
        users = usage("--by", "user")
        assert len(users["users"]) == 1 and users["all"] == now["all"]
        assert "a-0" in ctl("usage", "--since", "1h")
    after = usage()["all"]
    assert after["device_s"] >= now["all"]["device_s"]
    print(f"{device}: {device_s:.6f} s used, {busy:.6f} s busy")
    return after


def killed_agent_keeps_its_books():
    agent = ooo.Agent(device="sim")
    ooo.run("--zoo", "mlp", "--tenants", 1, "--requests", 50, "--name", "short")
    time.sleep(1.5)
    agent.stop(signal.SIGKILL)
    before = usage()
    assert any(row["tenant"] == "short-0" and row["requests"] == 50 for row in before["tenants"]), before
    with ooo.Agent(device="sim"):
        assert usage()["all"]["requests"] == before["all"]["requests"]
    assert usage()["all"]["requests"] == before["all"]["requests"]


def broken_files_are_kept_aside():
    before = usage()["all"]
    with open(DIR / "usage.log", "ab") as log:
        log.write(b"1 2 3 nonsense\n\xff\xfe\0\n" + b"9" * 2000 + b"\n12 torn")
    (DIR / "usage.now").write_bytes(os.urandom(3000))
    with ooo.Agent(device="sim") as agent:
        said = agent.log.read_text()
        assert "usage.log: " in said and "usage.now: " in said and "kept aside" in said, said
        assert usage()["all"]["requests"] == before["requests"]
    kept = [path.name for path in DIR.iterdir() if ".bad-" in path.name]
    assert len(kept) == 2, kept
    # Read without an agent, what makes no sense is named and left out.
    with open(DIR / "usage.log", "ab") as log:
        log.write(b"x\n")
    done = subprocess.run([CTL, "usage"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "1 lines make no sense" in done.stderr, done.stderr


def words():
    assert "neither a time" in ctl("usage", "--since", "soon", status=2)
    assert "neither tenant nor user" in ctl("usage", "--by", "colour", status=2)
    assert usage("--since", "2026-01-01") and usage("--since", "2026-01-01T12:30")
    assert usage("--since", "2199-01-01")["tenants"] == []


assert "no ledger" in ctl("usage", status=3)
sum_is_busy_time("sim", "--sim-step-ns", "30000", "--sim-item-ns", "7001", "--sim-lanes", "2")
sum_is_busy_time("cpu")
killed_agent_keeps_its_books()
broken_files_are_kept_aside()
words()
