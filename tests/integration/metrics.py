#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ooo-ctl metrics and the agent's listener: the text is strict OpenMetrics, both say the same, the
figures are what the tenants did, and the dashboard names no metric that is not there."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("OOO_BUILD", "build")
CTL = BUILD + "/bin/ooo-ctl"
DASHBOARD = os.path.join(os.path.dirname(__file__), "../../packaging/grafana/ooo.json")
REQUESTS, TENANTS = 50, 3
if os.environ.get("OOO_SANITIZE"):
    REQUESTS *= 5 # the tools take so much longer to look

NAME = r"[a-z_][a-z0-9_]*"
LABEL = NAME + r'="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


def fail(text):
    print("metrics.py: " + text, file=sys.stderr)
    sys.exit(1)


def begin_family(lines, families):
    """The heading: TYPE, then UNIT if the name ends in one, then HELP."""
    _, _, name, kind = lines.pop(0).split(" ")
    if name in families:
        fail(f"{name} comes twice")
    if kind not in SUFFIXES:
        fail(f"{name}: {kind} is no type")
    if lines[0].startswith("# UNIT "):
        _, _, other, unit = lines.pop(0).split(" ")
        if other != name or not name.endswith("_" + unit):
            fail(f"{name}: unit {unit} of {other}")
    if not lines[0].startswith(f"# HELP {name} "):
        fail(f"{name}: no help: {lines[0]}")
    lines.pop(0)
    families[name] = {"type": kind, "samples": []}
    return name


def check_histogram(name, samples):
    """Of each tenant: bounds and counts rise, the last one is +Inf and the count."""
    series = {}
    for sample, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(key, {}).setdefault(sample[len(name):], []).append((labels.get("le"), value))
    for parts in series.values():
        bounds = [float(le) for le, _ in parts["_bucket"]]
        counts = [value for _, value in parts["_bucket"]]
        if bounds != sorted(set(bounds)) or bounds[-1] != float("inf") or counts != sorted(counts):
            fail(f"{name}: buckets do not rise: {parts}")
        if counts[-1] != parts["_count"][0][1]:
            fail(f"{name}: count and +Inf differ: {parts}")


def parse(text):
    """Strictly: families in one piece, samples of the right suffix, no sample twice, an end."""
    if not text.endswith("\n# EOF\n"):
        fail("the text does not end in # EOF")
    lines, families, seen, family = text.splitlines()[:-1], {}, set(), None
    while lines:
        if lines[0].startswith("# TYPE "):
            family = begin_family(lines, families)
            continue
        match = SAMPLE.fullmatch(lines[0])
        if not match or family is None:
            fail(f"no sample: {lines[0]}")
        name, labels = match[1], dict(re.findall(rf'({NAME})="((?:[^"\\]|\\.)*)"', match[2] or ""))
        if name not in [family + suffix for suffix in SUFFIXES[families[family]["type"]]]:
            fail(f"{name} is among the samples of {family}")
        key = (name, tuple(sorted(labels.items())))
        if key in seen:
            fail(f"{lines[0]} comes twice")
        seen.add(key)
        families[family]["samples"].append((name, labels, float(match[3])))
        lines.pop(0)
    for name, family in families.items():
        if family["type"] == "histogram":
            check_histogram(name, family["samples"])
    return families


def ctl(*args):
    return subprocess.run([CTL, *args], capture_output=True, text=True, check=True).stdout


def http(address, request):
    with socket.socket(address[0], socket.SOCK_STREAM) as s:
        s.settimeout(10)
        s.connect(address[1])
        s.sendall(request.encode())
        data = b""
        while chunk := s.recv(65536):
            data += chunk
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


def get(address, path):
    return http(address, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def start(run_dir, *args):
    log = run_dir + "/log"
    agent = subprocess.Popen([BUILD + "/bin/ooo-agent", "--device", "cpu", *args],
                             stderr=open(log, "w"))
    for _ in range(200):
        if "ready:" in open(log).read() or agent.poll() is not None:
            break
        time.sleep(0.05)
    return agent, open(log).read()


def settled(address):
    """The text once nobody is connected any more: then two looks agree."""
    for _ in range(100):
        text = ctl("metrics")
        if "\nooo_agent_tenants 0\n" in text:
            return text, get(address, "/metrics")[1]
        time.sleep(0.05)
    fail("tenants do not go away")


def check_figures():
    """While tenants stand still, having run a known number of requests."""
    holder = subprocess.Popen([BUILD + "/bin/ooo-run", "--zoo", "mlp", "--tenants", str(TENANTS),
                               "--requests", str(REQUESTS), "--rate", "100/s", "--quiet"],
                              stdout=subprocess.DEVNULL)
    last = {}
    while holder.poll() is None:
        families = parse(ctl("metrics"))
        for _, labels, value in families["ooo_tenant_requests_completed"]["samples"]:
            if labels["name"] == "ooo-run": # asks for the device first, and leaves
                continue
            last[labels["tenant"]] = value
            if not 0 <= value <= REQUESTS:
                fail(f"{labels}: {value} requests complete")
        time.sleep(0.05)
    if holder.returncode:
        fail(f"ooo-run ended with {holder.returncode}")
    if len(last) != TENANTS or not all(last.values()):
        fail(f"tenants seen: {last}")
    done = families_total("ooo_device_requests")
    if done != TENANTS * REQUESTS:
        fail(f"the device says {done} requests, not {TENANTS * REQUESTS}")


def families_total(name):
    return sum(value for _, _, value in parse(ctl("metrics"))[name]["samples"])


def check_dashboard(families):
    board = open(DASHBOARD).read()
    json.loads(board)
    there = {name + suffix for name, f in families.items() for suffix in SUFFIXES[f["type"]]}
    named = set(re.findall(r"\booo_[a-z0-9_]+", board))
    if len(named) < 15 or not named <= there:
        fail(f"the dashboard names {sorted(named - there)}, which are not there")


def check_json(families):
    samples = json.loads(ctl("metrics", "--json"))
    want = {(n, tuple(sorted(l.items()))) for f in families.values() for n, l, _ in f["samples"]}
    got = {(s["metric"], tuple(sorted(s["labels"].items()))) for s in samples}
    if want != got:
        fail(f"text and JSON differ: {want ^ got}")


def check_classic(families, text):
    """What the format before OpenMetrics wants, and promtool's opinion of it where that is there."""
    types = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))
    helps = set(re.findall(r"(?m)^# HELP (\S+) ", text))
    want = {n + "_total" if f["type"] == "counter" else n: f["type"] for n, f in families.items()}
    if types != want or helps != set(want) or re.search("(?m)^# (UNIT|EOF)", text):
        fail(f"--classic has other families: {set(types.items()) ^ set(want.items())}")
    if not shutil.which("promtool"):
        print("metrics.py: no promtool: its opinion is not asked")
        return
    tool = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    if tool.returncode or tool.stderr:
        fail(f"promtool: {tool.stdout} {tool.stderr}")


def same(a, b):
    """But for time, which goes on."""
    moving = r"(?m)^ooo_(agent_uptime|device_pressure|device_sleeps)\w* ?.*$|^ooo_device_(pressure|sleeps).*$"
    return re.sub(moving, "", a) == re.sub(moving, "", b)


def check_http(address):
    head, body = get(address, "/metrics")
    if " 200 " not in head.splitlines()[0] or "application/openmetrics-text; version=1.0.0" not in head:
        fail(f"the listener answers {head}")
    parse(body)
    if " 404 " not in get(address, "/")[0].splitlines()[0]:
        fail("any path is taken")
    head, _ = http(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                            "Connection: close\r\n\r\n")
    if " 405 " not in head.splitlines()[0]:
        fail(f"POST is answered {head}")
    idle = []
    for _ in range(40):
        s = socket.socket(address[0], socket.SOCK_STREAM)
        s.settimeout(0.1)
        idle.append(s)
        try:
            s.connect(address[1])
        except OSError:  # no more are let in
            break
    for s in idle:
        s.close()
    for _ in range(100):  # until it has seen that they went
        try:
            head, _ = get(address, "/metrics")
            break
        except OSError:
            time.sleep(0.05)
    else:
        fail("after idle visitors it does not answer")
    if " 200 " not in head.splitlines()[0]:
        fail(f"after idle visitors it answers {head}")


def main():
    run_dir = tempfile.mkdtemp()
    os.environ["OOO_RUNTIME_DIR"] = run_dir
    path = run_dir + "/metrics.sock"
    agent, log = start(run_dir, "--metrics", "unix:" + path)
    listens = "without libmicrohttpd" not in log
    if not listens:
        print("metrics.py: no libmicrohttpd: the listener is not tested")
        agent, log = start(run_dir)
    try:
        if agent.poll() is not None:
            fail("the agent did not start: " + log)
        address = (socket.AF_UNIX, path)
        check_figures()
        families = parse(ctl("metrics"))
        check_dashboard(families)
        check_json(families)
        check_classic(families, ctl("metrics", "--classic"))
        if listens:
            check_http(address)
            text, body = settled(address)
            if not same(text, body):
                fail(f"ooo-ctl and the listener differ:\n{text}\n{body}")
        agent.terminate()
        if agent.wait(30) or os.path.exists(path):
            fail("the agent did not end well, or left its socket")
        for where in ("0.0.0.0:9402", "127.0.0.1", "127.0.0.1:0", "unix:", "9402"):
            if listens and "neither a loopback address" not in start(run_dir, "--metrics", where)[1]:
                fail(f"--metrics {where} is taken")
    finally:
        agent.kill()
        agent.wait()
        shutil.rmtree(run_dir)
    print("metrics.py: ok")


main()
