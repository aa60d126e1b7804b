#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Products of matrices on one GPU: ours beside cuBLAS, in the same run.

    gpu_rivals.py [--bench build/stage/libexec/gpu_bench] [--type fp16] [--rounds N] [--served]

R problems M x N x K with weights of their own, in bundles of ours and in torch.bmm (cuBLAS batched)
captured in CUDA graphs of 24 nodes or more; warm (the same problems again) and cold (others in turn,
three times as many bytes as the second-level cache holds). Both are times by bundle, back to back.
Needs PyTorch with CUDA; without it the exit status is 77.

--served adds 20 tenant processes of one product each, through an agent, one request in flight: thousand
requests a second, beside what was measured for the others on an H100 (SERVED below; absolute
figures, so of meaning on such a GPU alone). --served-only is that alone, on --device, without PyTorch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

NODES = 24
REPEATS = 30
COLD_BYTES = 3 * (60 << 20)
SHAPES = [(512, 1, 512), (256, 128, 1152), (256, 256, 256)]
ITEMS = [1, 10, 20, 60, 120]
TYPES = ["fp16", "fp32", "tf32"]

# 20 processes, one request in flight each, thousand requests a second: time-slicing, MPS, and streams
# of one process in graphs. One H100 80GB HBM3, driver 580.159, CUDA 13.0.
SERVED = {("fp16", (512, 1, 512)): (7.1, 721, 813), ("fp16", (256, 128, 1152)): (7.0, 417, 519),
          ("fp16", (256, 256, 256)): (7.1, 699, 816), ("fp32", (256, 128, 1152)): (6.6, 169, 169)}


def skip(reason):
    print(f"gpu_rivals: {reason}")
    sys.exit(77)


def import_torch():
    try:
        import torch
    except ImportError:
        skip("no PyTorch here")
    if not torch.cuda.is_available():
        skip("PyTorch finds no GPU")
    return torch


def our_times(bench, kind, rounds):
    """{(m, n, k, items, cache): us} from gpu_bench's lines."""
    command = [bench, "--products", "--type", kind, "--rounds", str(rounds)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit(f"gpu_rivals: {' '.join(command)}: status {run.returncode}")
    times = {}
    for line in run.stdout.splitlines():
        words = line.split()
        if words[:1] != ["product"]:
            continue
        shape = tuple(int(x) for x in words[1].split("x"))
        fields = dict(zip(words[2::2], words[3::2]))
        times[shape + (int(fields["items"]), fields["cache"])] = float(fields["mean_us"])
    return times


def bmm_time(torch, shape, items, kind, cold):
    """Microseconds of one torch.bmm in a graph of many."""
    m, n, k = shape
    dtype = torch.float16 if kind == "fp16" else torch.float32
    each = items * (m * k + n * k + n * m) * (2 if kind == "fp16" else 4)
    sets = COLD_BYTES // each + 2 if cold else 1
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    x = [torch.randn(items, n, k, device="cuda", dtype=dtype) for _ in range(sets)]
    w = [torch.randn(items, m, k, device="cuda", dtype=dtype) for _ in range(sets)]
    y = [torch.empty(items, n, m, device="cuda", dtype=dtype) for _ in range(sets)]
    nodes = max(NODES, sets)

    def all_nodes():
        for i in range(nodes):
            s = i % sets
            torch.bmm(x[s], w[s].transpose(1, 2), out=y[s])

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        all_nodes()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        all_nodes()
    repeats = max(3, REPEATS * NODES // nodes)
    best = []
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        graph.replay()
        start.record()
        for _ in range(repeats):
            graph.replay()
        end.record()
        end.synchronize()
        best.append(start.elapsed_time(end) * 1e3 / (repeats * nodes))
    return sorted(best)[len(best) // 2]


def served(folder, device, tenants, seconds):
    """A line for each row of SERVED."""
    env = dict(os.environ, OOO_RUNTIME_DIR=tempfile.mkdtemp())
    log = os.path.join(env["OOO_RUNTIME_DIR"], "log")
    with open(log, "w") as out:
        agent = subprocess.Popen([os.path.join(folder, "ooo-agent"), "--device", device], env=env, stderr=out)
    try:
        while "ready:" not in open(log).read():
            if agent.poll() is not None:
                sys.exit(f"gpu_rivals: {open(log).read()}")
            time.sleep(0.1)
        print(f"{'type':5} {'M x N x K':>15} {'ours k/s':>9} {'slices':>7} {'MPS':>6} {'streams':>7}   ours / each")
        for (kind, shape), theirs in SERVED.items():
            name = "x".join(str(d) for d in shape)
            run = subprocess.run([os.path.join(folder, "ooo-run"), "--zoo",
                                  f"gemm-{name}" + ("-fp16" if kind == "fp16" else ""), "--tenants", str(tenants),
                                  "--duration", f"{seconds}s", "--quiet", "--json"],
                                 env=env, stdout=subprocess.PIPE, text=True, check=False)
            if run.returncode:
                sys.exit(f"gpu_rivals: ooo-run: status {run.returncode}")
            mine = json.loads(run.stdout)["requests_per_s"] / 1e3
            ratios = " ".join(f"{mine / x:7.2f}" for x in theirs)
            print(f"{kind:5} {name:>15} {mine:9.1f} {theirs[0]:7.1f} {theirs[1]:6} {theirs[2]:7}   {ratios}", flush=True)
    finally:
        agent.terminate()
        agent.wait(60)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default=os.path.join(here, "../../build/stage/libexec/gpu_bench"))
    parser.add_argument("--type", choices=TYPES, action="append")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--served-only", action="store_true")
    parser.add_argument("--bin", default=os.path.join(here, "../../build/stage/bin"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=3, help="of each row of --served")
    args = parser.parse_args()
    if args.served or args.served_only:
        served(args.bin, args.device, args.tenants, args.seconds)
    if args.served_only:
        return
    torch = import_torch()

    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{'type':5} {'M x N x K':>15} {'R':>4} {'cache':5} {'ours us':>9} {'cuBLAS us':>9} {'ratio':>6}")
    worse = 0
    for kind in args.type or TYPES:
        ours = our_times(args.bench, kind, args.rounds)
        for shape in SHAPES:
            for items in ITEMS:
                for cache in ("warm", "cold"):
                    mine = ours.get(shape + (items, cache))
                    if mine is None:
                        continue
                    theirs = bmm_time(torch, shape, items, kind, cache == "cold")
                    worse += mine > theirs
                    name = "x".join(str(d) for d in shape)
                    print(f"{kind:5} {name:>15} {items:4} {cache:5} {mine:9.2f} {theirs:9.2f} {theirs / mine:6.2f}",
                          flush=True)
    print(f"ratio: cuBLAS time / ours; in {worse} rows cuBLAS is faster")


if __name__ == "__main__":
    main()
