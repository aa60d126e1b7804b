# SPDX-License-Identifier: Apache-2.0
"""ResNet-50, batch 1, fp32, 2 threads: latency through the agent beside onnxruntime's, in turns.

Rounds of both alternate, so that the machine's moods fall on both; the medians of all requests are
compared.  usage: resnet50.py FOLDER (an agent on the cpu device runs in $OOO_RUNTIME_DIR)
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys


sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import numpy as np
import onnx
import onnx_models
import onnxruntime as ort

ROUNDS, REQUESTS = 7, 20

folder = pathlib.Path(sys.argv[1])
model = folder / "resnet50.onnx"
onnx.save(onnx_models.resnet50(1), model)
pixels = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
np.save(folder / "pixels.npy", pixels)


def ours():
    done = subprocess.run([f"{os.environ['OOO_BUILD']}/bin/ooo-run", model, "--input", folder / "pixels.npy",
                           "--requests", str(REQUESTS), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["p50_ms"]


def theirs():
    """A process of its own as well: its threads spin, and must be gone when ours run."""
    code = f"""
import numpy as np, onnxruntime as ort, statistics, time
o = ort.SessionOptions(); o.intra_op_num_threads = 2; o.inter_op_num_threads = 1
s = ort.InferenceSession({str(model)!r}, o, providers=["CPUExecutionProvider"])
x = {{"pixels": np.load({str(folder / 'pixels.npy')!r})}}
for _ in range(3): s.run(None, x)
t = []
for _ in range({REQUESTS}):
    a = time.perf_counter(); s.run(None, x); t.append(time.perf_counter() - a)
print(statistics.median(t) * 1e3)
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


a, b = [], []
for _ in range(ROUNDS):
    a.append(ours())
    b.append(theirs())
ratios = [x / y for x, y in zip(a, b)]
print(json.dumps({"bench": "resnet50", "cpu_resnet50_ms": round(statistics.median(a), 2),
                  "onnxruntime_ms": round(statistics.median(b), 2),
                  "cpu_resnet50_vs_onnxruntime": round(statistics.median(ratios), 3),
                  "ratio_min": round(min(ratios), 3), "ratio_max": round(max(ratios), 3), "threads": 2}))
