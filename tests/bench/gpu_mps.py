#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The same loads on PyTorch processes that share the GPU through NVIDIA's MPS, and through ours.

    python3 tests/bench/gpu_mps.py BIN [--seconds 3] [--only SUBSTRING] [--ours-only]

BIN is the folder of ooo-agent, ooo-run and ooo-ctl. Each process has weights of its own, captures one
request in a CUDA graph (fp16; channels last, scaled dot products) and waits for each replay. Its
operands stay on the GPU, while ours come from the tenants' memory and go back to it.

    products    20 processes with one product each, in closed loops; MPS also with "moved": the graph
                copies the operand from pinned memory and the result back, which is what ours does
    models      1 and 16 processes with ResNet-50 or BERT-base (128 tokens), in closed loops
    latency     ResNet-50 by Poisson, 200/s, alone and beside four BERT-base of batch 8 in closed loops;
                MPS gives the first the higher client priority, we the class `latency` and an SLO of 5 ms

One line a case with the ratio ours / MPS, measured in this run. Needs PyTorch with CUDA, torchvision,
transformers and nvidia-cuda-mps-control; 77 without them.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bin", type=pathlib.Path, nargs="?")
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--only", default="")
parser.add_argument("--ours-only", action="store_true")
parser.add_argument("--device", default="cuda", help="of the agent")
parser.add_argument("--agent", default="", help="more options of the agent")
parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
args = parser.parse_args()

PRODUCTS = [((512, 1, 512), "fp16"), ((256, 128, 1152), "fp16"), ((256, 256, 256), "fp16"),
            ((256, 128, 1152), "fp32")]


# ---- one PyTorch process: cases come by stdin, results go by stdout ------------------------------------

def make_request(torch, case):
    """(function, static inputs), or None: this process has no part in the case."""
    kind, batch = case["kind"], case.get("batch", 1)
    torch.manual_seed(args.worker)
    if kind == "product":
        m, n, k = case["shape"]
        dtype = torch.float16 if case["type"] == "fp16" else torch.float32
        x, w = (torch.randn(rows, k, device="cuda", dtype=dtype) for rows in (n, m))
        if not case["moved"]:
            return lambda: torch.nn.functional.linear(x, w)
        sent, got = x.cpu().pin_memory(), torch.empty(n, m, dtype=dtype, pin_memory=True)

        def moved():
            x.copy_(sent, non_blocking=True)
            got.copy_(torch.nn.functional.linear(x, w), non_blocking=True)
        return moved
    if kind == "resnet50":
        import torchvision
        net = torchvision.models.resnet50().half().cuda().eval().to(memory_format=torch.channels_last)
        x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float16).to(memory_format=torch.channels_last)
        return lambda: net(x)
    from transformers import BertConfig, BertModel
    net = BertModel(BertConfig()).half().cuda().eval()
    ids = torch.randint(0, 30000, (batch, 128), device="cuda")
    return lambda: net(input_ids=ids).last_hidden_state


def captured(torch, request):
    stream = torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(3):
            request()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            request()
    return graph, stream


def closed_loop(graph, stream, seconds):
    took, end = [], time.perf_counter() + seconds
    last = time.perf_counter()
    while last < end:
        graph.replay()
        stream.synchronize()
        now = time.perf_counter()
        took.append(now - last)
        last = now
    return took


def poisson(graph, stream, seconds, rate):
    """Latencies from the arrival on; a request waits for those before it."""
    took, arrival = [], time.perf_counter()
    end = arrival + seconds
    while True:
        arrival += random.expovariate(rate)
        if arrival > end:
            return took
        while time.perf_counter() < arrival:
            pass
        graph.replay()
        stream.synchronize()
        took.append(time.perf_counter() - arrival)


def worker():
    import torch
    random.seed(args.worker)
    torch.zeros(1, device="cuda")
    print("up", flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        graph, stream = captured(torch, make_request(torch, case))
        with torch.cuda.stream(stream):
            closed_loop(graph, stream, 0.2)
            print("ready", flush=True)
            sys.stdin.readline()
            took = (poisson(graph, stream, case["seconds"], case["rate"]) if "rate" in case
                    else closed_loop(graph, stream, case["seconds"]))
        print(json.dumps(took), flush=True)
        del graph
        torch.cuda.empty_cache()


# ---- the processes under MPS ---------------------------------------------------------------------------

class Mps:
    """The control daemon and a pool of workers, those first made with a priority of their own."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.env = dict(os.environ, CUDA_MPS_PIPE_DIRECTORY=self.dir.name, CUDA_MPS_LOG_DIRECTORY=self.dir.name)
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=self.env, check=True)
        self.workers = []
        return self

    def __exit__(self, *_):
        for w in self.workers:
            w.kill()
            w.wait()
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", env=self.env, text=True, check=False)

    def need(self, n):
        """Worker 0 has the higher priority (0), the others the lower (1): it is told at the start."""
        started = range(len(self.workers), n)
        for i in started:
            env = dict(self.env, CUDA_MPS_CLIENT_PRIORITY="1" if i else "0")
            self.workers.append(subprocess.Popen([sys.executable, __file__, "--worker", str(i)], env=env, text=True,
                                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for i in started:
            self.hear(self.workers[i])
        return self.workers[:n]

    @staticmethod
    def hear(w):
        line = w.stdout.readline()
        if not line:
            sys.exit("gpu_mps: a PyTorch process ended; what it said is above")
        return line

    def run(self, cases):
        """A list of latencies in seconds for each case, of one process each, run at the same time."""
        pool = self.need(len(cases))
        for w, case in zip(pool, cases):
            w.stdin.write(json.dumps(dict(case, seconds=args.seconds)) + "\n")
            w.stdin.flush()
        for w in pool:
            self.hear(w)
        for w in pool:
            w.stdin.write("go\n")
            w.stdin.flush()
        return [json.loads(self.hear(w)) for w in pool]


# ---- our agent -----------------------------------------------------------------------------------------

class Agent:
    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.env = dict(os.environ, OOO_RUNTIME_DIR=self.dir.name)
        self.log = open(pathlib.Path(self.dir.name) / "log", "w+")
        self.process = subprocess.Popen([args.bin / "ooo-agent", "--device", args.device, *args.agent.split()],
                                        env=self.env, stderr=self.log)
        while "ready:" not in pathlib.Path(self.log.name).read_text():
            if self.process.poll() is not None:
                sys.exit("gpu_mps: " + pathlib.Path(self.log.name).read_text())
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def start(self, *options, seconds=None):
        return subprocess.Popen([args.bin / "ooo-run", *options, "--duration", f"{seconds or args.seconds}s", "--json",
                                 "--quiet"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def result(run):
        out, err = run.communicate(timeout=300)
        if run.returncode:
            print(f"ooo-run: status {run.returncode}: {err.strip()[-300:]}", flush=True)
        return json.loads(out)


def quantile(values, q):
    return sorted(values)[min(int(q * len(values)), len(values) - 1)]


def rate(results):
    return sum(len(r) for r in results) / args.seconds


def compare(mps, name, n, cases, options):
    """cases: of MPS, with the words that say what they are."""
    with Agent() as agent:
        r = agent.result(agent.start(*options, "--tenants", str(n)))
    ours = r["requests_per_s"]
    line = f"{name:28} ours {ours:9.0f}/s p50 {r['p50_ms']:7.3f} ms p99 {r['p99_ms']:7.3f}"
    for word, case in cases if mps else []:
        theirs = mps.run([case] * n)
        all_of_them = [t * 1e3 for one in theirs for t in one]
        line += (f" | MPS{word} {rate(theirs):9.0f}/s p50 {quantile(all_of_them, 0.5):7.3f} ms p99 "
                 f"{quantile(all_of_them, 0.99):7.3f} | ours / MPS {ours / rate(theirs):5.2f}")
    print(line, flush=True)


def our_latency(rt_count, rt_rate):
    rt = ["--zoo", "resnet50", "--precision", "fp16", "--rate", f"{rt_rate}/s", "--name", "rt", "--tenants", str(rt_count)]
    be = ["--zoo", "bert-base", "--batch", "8", "--precision", "fp16", "--tenants", "4", "--name", "be"]
    policy = {"rules": [{"match": {"name": "rt*"}, "set": {"class": "latency", "slo": "5ms", "admission": "late"}}]}
    with Agent() as agent:
        path = pathlib.Path(agent.dir.name) / "wanted.json"
        path.write_text(json.dumps(policy))
        subprocess.run([args.bin / "ooo-ctl", "policy", "load", path], env=agent.env, check=True,
                       stdout=subprocess.DEVNULL)
        alone = agent.result(agent.start(*rt))
        others = agent.result(agent.start(*be))
        background = agent.start(*be, seconds=args.seconds + 3)
        time.sleep(1.5)
        both = agent.result(agent.start(*rt))
        beside = agent.result(background)
    share = beside["requests_per_s"] / others["requests_per_s"]
    print(f"latency {rt_count} x {rt_rate}/s ours: alone p50 {alone['p50_ms']:.2f} p99 {alone['p99_ms']:.2f} max {alone['max_ms']:.2f} ms; "
          f"beside p50 {both['p50_ms']:.2f} p99 {both['p99_ms']:.2f} max {both['max_ms']:.2f} ms "
          f"(p99 x{both['p99_ms'] / alone['p99_ms']:.2f}, max x{both['max_ms'] / alone['max_ms']:.2f}); best effort "
          f"{others['requests_per_s'] * 8:.0f} -> {beside['requests_per_s'] * 8:.0f} items/s ({share:.2f} of it, less the start and end alone)",
          flush=True)


def mps_latency(mps):
    rt = {"kind": "resnet50", "rate": 200}
    be = {"kind": "bert", "batch": 8}
    alone = [t * 1e3 for t in mps.run([rt])[0]]
    results = mps.run([rt] + [be] * 4)
    both = [t * 1e3 for t in results[0]]
    print(f"latency 1 x 200/s MPS:  alone p50 {quantile(alone, .5):.2f} p99 {quantile(alone, .99):.2f} max {max(alone):.2f} ms; "
          f"beside p50 {quantile(both, .5):.2f} p99 {quantile(both, .99):.2f} max {max(both):.2f} ms; best effort "
          f"{rate(results[1:]) * 8:.0f} items/s", flush=True)


def main():
    with Mps() if not args.ours_only else open(os.devnull) as mps:
        mps = None if args.ours_only else mps
        for shape, kind in PRODUCTS if args.only in "products" else []:
            name = "x".join(str(d) for d in shape)
            zoo = ["--zoo", f"gemm-{name}" + ("-fp16" if kind == "fp16" else "")]
            zoo += ["--precision", "fp16"] if kind == "fp16" else []
            case = {"kind": "product", "shape": shape, "type": kind}
            compare(mps, f"{kind} {name} x20", 20, [(word, dict(case, moved=bool(word))) for word in ("", " moved")], zoo)
        for model, kind in [("resnet50", "resnet50"), ("bert-base", "bert")] if args.only in "models" else []:
            for n in (1, 16):
                compare(mps, f"{model} fp16 x{n}", n, [("", {"kind": kind})], ["--zoo", model, "--precision", "fp16"])
        if args.only in "latency":
            our_latency(1, 200)
            our_latency(8, 100)
            if mps:
                mps_latency(mps)


if args.worker is not None:
    worker()
elif not args.bin:
    parser.error("BIN is missing")
elif not args.ours_only and not shutil.which("nvidia-cuda-mps-control"):
    print("gpu_mps: nvidia-cuda-mps-control is not here (--ours-only does without)")
    sys.exit(77)
else:
    main()
