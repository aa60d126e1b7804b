# SPDX-License-Identifier: Apache-2.0
"""
Whole processes through the agent on a GPU: tenants of one operator each, tenants with models of
their own, one lonely request, and an idle agent. Needs Python and a staged or built tree only.

    python3 tests/bench/gpu_serve.py BIN [--seconds 3] [--only SUBSTRING] [--agent "OPTION ..."]

BIN is the folder of ooo-agent and ooo-run. One line a case; figures hold beside one another only.
"""
import argparse
import json
import os
import pathlib
import shlex
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bin", type=pathlib.Path)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--only", default="")
parser.add_argument("--agent", default="", help="more options of the agent")
parser.add_argument("--device", default="cuda")
args = parser.parse_args()

# name, tenants, options of ooo-run
OPERATORS = [(f"{shape}{dtype} x20", 20, ["--zoo", f"gemm-{shape}{dtype}", "--precision", dtype[1:] or "fp32"])
             for dtype in ("-fp16", "") for shape in ("512x1x512", "256x128x1152", "256x256x256")]
MODELS = [(f"{model} {precision} x{n}", n, ["--zoo", model, "--precision", precision])
          for precision in ("fp16", "fp32")
          for model, n in (("resnet50", 1), ("resnet50", 16), ("bert-base", 1), ("bert-base", 16),
                           ("mobilenet_v2", 16), ("mlp", 16), ("lstm", 16))]
LONELY = [(f"one request of gemm-512x1x512{dtype}", 1, ["--zoo", f"gemm-512x1x512{dtype}", "--precision", dtype[1:] or "fp32"]) for dtype in ("-fp16", "")]
MANY = [("resnet18 fp16 x120", 120, ["--zoo", "resnet18", "--precision", "fp16"])]


class Agent:
    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.env = dict(os.environ, OOO_RUNTIME_DIR=self.dir.name)
        self.log = open(pathlib.Path(self.dir.name) / "log", "w+")
        self.process = subprocess.Popen([args.bin / "ooo-agent", "--device", args.device, *shlex.split(args.agent)],
                                        env=self.env, stderr=self.log)
        for _ in range(600):
            if "ready" in self.said():
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"the agent did not start:\n{self.said()}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def said(self):
        return pathlib.Path(self.log.name).read_text()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gpu_busy():
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader"],
                              capture_output=True, text=True, timeout=20)
        return done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "not known"


def measure(agent, name, tenants, options):
    done = subprocess.run([args.bin / "ooo-run", *options, "--tenants", str(tenants), "--duration", f"{args.seconds}s",
                           "--json", "--quiet"], env=agent.env, capture_output=True, text=True, timeout=400)
    if done.returncode:
        print(f"{name:34} FAILED: {done.stderr.strip()[-300:]}", flush=True)
        return
    r = json.loads(done.stdout)
    print(f"{name:34} {r['requests_per_s']:12.0f} req/s  p50 {r['p50_ms'] * 1000:9.1f} us  p99 {r['p99_ms'] * 1000:9.1f} us"
          f"  width {r['mean_bundle_width']:5.1f}  device {r['service_ms'] * 1000 / max(r['requests'], 1):8.1f} us/req"
          f"  weights {r['weight_bytes'] / 2**20:7.1f} MiB  failed {r['failed']}", flush=True)


for name, tenants, options in LONELY + OPERATORS + MODELS + MANY:
    if args.only not in name:
        continue
    with Agent() as agent:
        measure(agent, name, tenants, options)
        if tenants == 120:
            print(f"{'':34} device memory and use with the agent up: {gpu_busy()}")
if args.only in "idle":
    with Agent() as agent:
        time.sleep(1)
        before = agent.cpu_s()
        time.sleep(5)
        print(f"idle: the agent used {agent.cpu_s() - before:.3f} s of processor in 5 s; GPU use and memory: {gpu_busy()}")
