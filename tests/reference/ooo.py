# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: start an agent, run ooo-run, compare, skip."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

BIN = pathlib.Path(os.environ["OOO_BUILD"]) / "bin"
TMP = pathlib.Path(os.environ.get("TEST_TMPDIR", "."))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def need(*modules):
    """Import modules of tests/requirements.txt, or skip."""
    found = []
    for name in modules:
        try:
            found.append(__import__(name))
        except ImportError:
            skip(f"the Python package {name} is not there (see tests/requirements.txt)")
    return found


class Agent:
    """An agent in the test's runtime directory, ready when the constructor returns."""

    def __init__(self, *args, device="cpu", threads=2):
        command = [str(BIN / "ooo-agent"), "--device", device, *args]
        if device == "cpu":
            command += ["--threads", str(threads)]
        self.log = TMP / f"agent-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        deadline = time.monotonic() + 60
        while b"ready" not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                print(self.log.read_text())
                raise SystemExit("the agent did not start")
            time.sleep(0.02)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, sig=signal.SIGTERM, timeout=60):
        self.process.send_signal(sig)
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            status = self.stop()
            if kind is None and status != 0:
                print(self.log.read_text())
                raise SystemExit(f"the agent ended with status {status}")
        if kind is not None:
            print(self.log.read_text()[-4000:])
        return False


def run(*args, check=True, timeout=300):
    """ooo-run --json; its report, with the exit status and stderr added."""
    done = subprocess.run([str(BIN / "ooo-run"), "--json", *map(str, args)], capture_output=True,
                          text=True, timeout=timeout)
    if check and done.returncode != 0:
        print(done.stderr, done.stdout)
        raise SystemExit(f"ooo-run {' '.join(map(str, args))}: status {done.returncode}")
    report = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    report["status"], report["stderr"] = done.returncode, done.stderr
    return report


def output_paths(first, count):
    """Where ooo-run --output FIRST puts the outputs."""
    first = pathlib.Path(first)
    return [first] + [first.with_name(f"{first.stem}.{i}{first.suffix}") for i in range(1, count)]
