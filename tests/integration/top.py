#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ooo-ctl top in a pseudo-terminal: what it draws, its keys, sizes, and that the terminal is put
back however it ends."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

BUILD = os.environ.get("OOO_BUILD", "build")
CTL = BUILD + "/bin/ooo-ctl"


def fail(text):
    print("top.py: " + text, file=sys.stderr)
    sys.exit(1)


class Top:
    """A child on a terminal of its own, and the screen that it drew."""

    def __init__(self, rows, columns, *args):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execv(CTL, [CTL, "top", "--interval", "200ms", *args])
        self.before = termios.tcgetattr(self.fd)
        self.resize(rows, columns)
        self.screen, self.raw = {}, b""

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.raw += data

    def draw(self):
        """The lines of the last frame, from the addresses that they were put at."""
        self.screen = {}
        for row, text in re.findall(r"\x1b\[(\d+);1H((?:\x1b\[7m)?[^\x1b\r\n]*)", self.raw.decode()):
            self.screen[int(row)] = text.replace("\x1b[7m", "")
        return self.screen

    def until(self, what, condition):
        """Read frames until one is as it should be."""
        for _ in range(50):
            self.raw = b""
            self.read(0.3)
            if self.raw and condition(self.draw()):
                return
        fail(f"{what}: {self.screen}")

    def key(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """The exit status as a shell would see it; everything it wrote is in raw."""
        status = None
        for _ in range(100):
            self.read(0.1)
            time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
        else:
            fail("it does not end")
        return os.waitstatus_to_exitcode(status)

    def restored(self, how):
        if b"\x1b[?25h\x1b[?1049l" not in self.raw:
            fail(f"{how}: the screen is not put back: {self.raw[-200:]!r}")
        after = termios.tcgetattr(self.fd)
        if after[:4] != self.before[:4]:
            fail(f"{how}: the terminal's settings are not put back")


def names(screen):
    """Of the tenants, from the top: all lines below the heading that begin with an id."""
    heading = next((r for r, text in screen.items() if text.split()[:2] == ["tenant", "name"]), None)
    if heading is None:
        return []
    rows = [screen[r].split() for r in sorted(screen) if r > heading]
    return [row[1] for row in rows if len(row) > 5 and row[0].isdigit()]


def start(run_dir):
    log = open(run_dir + "/log", "w")
    agent = subprocess.Popen([BUILD + "/bin/ooo-agent", "--device", "cpu"], stderr=log)
    for _ in range(200):
        if "ready:" in open(run_dir + "/log").read():
            break
        time.sleep(0.05)
    tenants = [
        subprocess.Popen(
            [BUILD + "/bin/ooo-run", "--zoo", "mlp", "--name", name, "--rate", rate, "--tenants", "2",
             "--duration", "300s", "--quiet"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, rate in (("slow", "2/s"), ("quick", "20/s"))
    ]
    return agent, tenants


def check_screen():
    top = Top(24, 80)
    top.until("four tenants", lambda s: len(names(s)) == 4)
    widest = max(len(text) for text in top.screen.values())
    if widest > 80:
        fail(f"a line has {widest} characters of 80: {top.screen}")
    for key in ("tenant", "name", "share", "due", "rate", "p50", "p99", "slo", "width", "queue",
                "refused", "memory"):
        if not any(key in text.split() for text in top.screen.values()):
            fail(f"no column {key} at 80: {top.screen}")
    top.key("ss")  # share, due, rate
    top.until("sorted by rate", lambda s: "quick" in names(s)[0] and "slow" in names(s)[-1]
              if len(names(s)) == 4 else False)
    top.key("r")
    top.until("reversed", lambda s: "slow" in names(s)[0] and "quick" in names(s)[-1]
              if len(names(s)) == 4 else False)
    top.key("/QUICK-1\n")
    top.until("filtered", lambda s: names(s) == ["quick-1"])
    top.key("/\x1b")
    top.until("all again", lambda s: len(names(s)) == 4)
    top.resize(6, 40)
    top.until("resized", lambda s: s and max(s) <= 6 and max(map(len, s.values())) <= 40)
    top.resize(24, 120)
    top.until("wide", lambda s: len(names(s)) == 4 and max(map(len, s.values())) > 80)
    top.key("q")
    status = top.end()
    top.restored("q")
    if status:
        fail(f"q ends it with {status}")


def check_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        top = Top(24, 80)
        top.until("a frame", lambda s: len(names(s)) == 4)
        os.kill(top.pid, number)
        status = top.end()
        top.restored(number.name)
        if status != -number:
            fail(f"{number.name} ends it with {status}")


def check_once():
    text = subprocess.run([CTL, "top", "--once", "--sort", "rate"], capture_output=True, text=True,
                          check=True).stdout
    if "\x1b" in text:
        fail("escapes without a terminal")
    rows = [line.split() for line in text.splitlines()]
    at = next(i for i, row in enumerate(rows) if row[:2] == ["tenant", "name"])
    frame = json.loads(subprocess.run([CTL, "top", "--once", "--json"], capture_output=True,
                                      text=True, check=True).stdout)
    if len(rows) != at + 5 or len(frame["tenants"]) != 4 or not frame["devices"]:
        fail(f"text and JSON do not show four tenants: {text} {frame}")
    for tenant in frame["tenants"]:
        if not set(rows[at]) <= set(tenant):
            fail(f"the JSON keys {set(tenant)} lack headings of {rows[at]}")
    share = sum(t["share"] for t in frame["tenants"])
    due = sum(t["due"] for t in frame["tenants"])
    if not 99 < share < 101 or not 99 < due < 101:
        fail(f"shares add up to {share}, dues to {due}")
    if not all(0 < t["p50"] <= t["p99"] for t in frame["tenants"]):
        fail(f"no latencies: {frame}")
    bad = subprocess.run([CTL, "top", "--sort", "colour"], capture_output=True, text=True)
    if bad.returncode != 2 or "share" not in bad.stderr:
        fail(f"a wrong column ends with {bad.returncode}: {bad.stderr}")


def check_agent_gone(agent):
    top = Top(24, 80)
    top.until("a frame", lambda s: len(names(s)) == 4)
    agent.kill()
    agent.wait()
    status = top.end()
    top.restored("no agent")
    if status != 3 or b"ooo-ctl: " not in top.raw:
        fail(f"without an agent it ends with {status}: {top.raw[-300:]!r}")


def main():
    run_dir = tempfile.mkdtemp()
    os.environ["OOO_RUNTIME_DIR"] = run_dir
    agent, tenants = start(run_dir)
    try:
        check_screen()
        check_signals()
        check_once()
        check_agent_gone(agent)
    finally:
        for process in [agent, *tenants]:
            process.terminate()
            process.wait()
        shutil.rmtree(run_dir)
    print("top.py: ok")


main()
