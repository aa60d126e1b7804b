#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent comes and goes: idle use of the CPU, drain on SIGTERM, sudden death, no agent, a second agent."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo


def start_load(*args):
    return subprocess.Popen([str(ooo.BIN / "ooo-run"), "--json", *args], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def wait_for_requests(load):
    """Until the load has had time to be in full swing."""
    time.sleep(1.5 if not os.environ.get("OOO_SANITIZE") else 6)
    assert load.poll() is None, load.communicate()[1]


def idle_uses_no_cpu():
    with ooo.Agent() as agent:
        ooo.run("--zoo", "mlp", "--tenants", 2, "--requests", 20)
        time.sleep(0.5)
        before = agent.cpu_seconds()
        time.sleep(3)
        used = agent.cpu_seconds() - before
        # A busy loop would use all 3 s; the limit leaves room for the clock's ticks.
        limit = 0.3 if os.environ.get("OOO_SANITIZE") else 0.06
        assert used <= limit, f"an idle agent used {used:.2f} s of CPU in 3 s"
        print(f"idle: {used:.2f} s of CPU in 3 s")


def drain_completes_accepted_work():
    with ooo.Agent() as agent:
        load = start_load("--zoo", "mlp", "--tenants", "2", "--duration", "30s", "--inflight", "4")
        wait_for_requests(load)
        assert agent.stop(signal.SIGTERM) == 0, agent.log.read_text()
        out, err = load.communicate(timeout=60)
        assert load.returncode == 1
        assert "drain" in err or "went away" in err or "agent" in err, err
        print("SIGTERM: drained with status 0; the tenants were told")


def death_is_noticed_quickly():
    agent = ooo.Agent()
    load = start_load("--zoo", "mlp", "--tenants", "2", "--duration", "30s")
    wait_for_requests(load)
    agent.stop(signal.SIGKILL)
    begin = time.monotonic()
    out, err = load.communicate(timeout=30)
    took = time.monotonic() - begin
    assert load.returncode == 1 and took < (1 if not os.environ.get("OOO_SANITIZE") else 10), (took, err)
    # A socket left behind by the dead agent is no obstacle.
    with ooo.Agent():
        ooo.run("--zoo", "mlp", "--requests", 3)
    print(f"SIGKILL: tenants ended after {took * 1000:.0f} ms; a new agent starts in its place")


def without_an_agent():
    done = subprocess.run([str(ooo.BIN / "ooo-run"), "--zoo", "mlp"], capture_output=True, text=True)
    assert done.returncode == 3 and "agent" in done.stderr, done
    with ooo.Agent():
        second = subprocess.run([str(ooo.BIN / "ooo-agent"), "--device", "sim"], capture_output=True, text=True)
        assert second.returncode == 1 and second.stderr, second
        ooo.run("--zoo", "mlp", "--requests", 1)
    print(f"no agent: {done.stderr.strip()}\nsecond agent: {second.stderr.strip().splitlines()[-1]}")


idle_uses_no_cpu()
drain_completes_accepted_work()
death_is_noticed_quickly()
without_an_agent()
