#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent hands over to a fresh image of itself: by SIGUSR2 under load, again and again, after a
fault of the (emulated) GPU, and when there is no device any more. Tenants stay connected.

test-timeout: 300
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

DRIVER = pathlib.Path(os.environ.get("OOO_EMU_DRIVER", ooo.BIN.parent / "emu/libcuda.so.1"))
SLOW = 5 if os.environ.get("OOO_SANITIZE") else 1


def ctl(*args):
    done = subprocess.run([str(ooo.BIN / "ooo-ctl"), "--json", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (args, done.stderr)
    return json.loads(done.stdout)


def load(*args):
    return subprocess.Popen([str(ooo.BIN / "ooo-run"), "--json", "--check-solo", *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def resumed(agent):
    return agent.log.read_text().count("resumed: ")


def wait_for(what, seconds, agent):
    deadline = time.monotonic() + seconds * SLOW
    while not what():
        assert agent.process.poll() is None, agent.log.read_text()
        assert time.monotonic() < deadline, agent.log.read_text()[-3000:]
        time.sleep(0.02)


def restart(agent):
    before = resumed(agent)
    agent.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: resumed(agent) > before, 20, agent)


def descriptors(agent):
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


def resident_kib(agent):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{agent.process.pid}/status").read_text())[1])


def tenants(agent):
    """Ids of all that connected, in order."""
    return re.findall(r"tenant (\d+) .*: connected", agent.log.read_text())


def under_load():
    """Every request completes exactly once with the right answer: ooo-run checks each."""
    with ooo.Agent() as agent:
        requests = 150
        run = load("--zoo", "mlp", "--tenants", "4", "--requests", str(requests), "--inflight", "4")
        wait_for(lambda: len(tenants(agent)) >= 5, 60, agent)  # one of them is the solo run
        before, connected = ctl("status"), len(tenants(agent))
        pid = agent.process.pid
        nr = 0
        while run.poll() is None and nr < 20:
            restart(agent)
            nr += 1
            time.sleep(0.05)
        out, err = run.communicate(timeout=120 * SLOW)
        assert run.returncode == 0, (err, agent.log.read_text()[-2000:])
        report = json.loads(out)
        assert report["ok"] == 4 * requests and not report["failed"], report
        assert nr >= 2, f"only {nr} handovers while the load ran"
        after = ctl("status")
        assert agent.process.pid == pid
        for key in "pid", "agent_id", "tenants_total":
            assert after[key] == before[key], (key, before, after)
        assert len(set(tenants(agent))) == len(tenants(agent)) == connected, "a tenant connected twice"
        print(f"{nr} handovers under load: {report['ok']} requests, each once and right")


def again_and_again():
    with ooo.Agent() as agent:
        idle = load("--zoo", "mlp", "--tenants", "2", "--duration", "600s", "--rate", "20")
        wait_for(lambda: len(tenants(agent)) >= 2, 30, agent)
        time.sleep(0.5)
        restart(agent)
        fds, rss = descriptors(agent), resident_kib(agent)
        for _ in range(20):
            restart(agent)
        assert descriptors(agent) <= fds, (fds, descriptors(agent))
        grown = resident_kib(agent) - rss
        assert grown < 8192 * SLOW, f"20 handovers took {grown} KiB"
        assert idle.poll() is None, idle.communicate()
        idle.terminate()
        idle.wait(30)
        print(f"20 handovers in a row: {fds} descriptors before and after, {grown} KiB more")


def after_a_fault():
    """Each fault takes what is in flight, and that says so; the tenants go on with the next request."""
    if not DRIVER.exists():
        print("no emulated driver: faults are not checked")
        return
    with ooo.Agent("--cuda-library", str(DRIVER), "--cuda-fault-every", "30", device="cuda") as agent:
        run = subprocess.Popen([str(ooo.BIN / "ooo-run"), "--json", "--zoo", "mlp", "--tenants", "2", "--requests",
                                "12", "--inflight", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid = agent.process.pid
        out, err = run.communicate(timeout=120 * SLOW)
        log = agent.log.read_text()
        assert agent.process.pid == pid and agent.process.poll() is None, log
        assert "resumed: " in log and "lost to this process" in log, log[-3000:]
        assert "was reset while the request ran" in err + out, (err, out)
        # After the fourth fault in a minute the device stays lost, and the agent says so.
        for _ in range(60):
            if "it stays lost" in agent.log.read_text():
                break
            ooo.run("--zoo", "mlp", "--requests", 6, check=False)
        assert "it stays lost" in agent.log.read_text(), agent.log.read_text()[-3000:]
        assert resumed(agent) == 3, agent.log.read_text()
        gone = ooo.run("--zoo", "mlp", "--requests", 1, check=False)
        assert gone["status"] != 0, gone
        restart(agent)
        ooo.run("--zoo", "mlp", "--requests", 1)
        print("faults: 3 handovers, then the device stays lost; a restart brings it back")


def without_its_device():
    """The fresh process finds no device: tenants are connected all the same, and are told."""
    if not DRIVER.exists():
        return
    copy = ooo.TMP / "libcuda-gone.so"
    copy.write_bytes(DRIVER.read_bytes())
    with ooo.Agent("--cuda-library", str(copy), device="cuda") as agent:
        idle = subprocess.Popen([str(ooo.BIN / "ooo-run"), "--zoo", "mlp", "--tenants", "1", "--requests", "12",
                                 "--rate", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(tenants(agent)) >= 1, 30, agent)
        wait_for(lambda: any(t["completed"] for t in ctl("tenant", "list")), 30, agent)
        copy.unlink()
        restart(agent)
        out, err = idle.communicate(timeout=60 * SLOW)
        assert idle.returncode == 1 and "device" in err, (idle.returncode, err)
        assert agent.process.poll() is None
        print(f"no device any more: {err.strip().splitlines()[-1]}")


under_load()
again_and_again()
after_a_fault()
without_its_device()
