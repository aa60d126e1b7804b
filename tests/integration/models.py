#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test-timeout: 400
"""Real architectures with random weights, from 4 tenants at once, against onnxruntime."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

np, onnx, ort = ooo.need("numpy", "onnx", "onnxruntime")
import onnx_models

# The sanitizers' slowness is no reason to wait for large models; the small ones use the same code.
BIG = {"bert", "resnet50", "mobilenet_v2"}
RANGE_TOLERANCE = 1e-4


def check(name):
    path = ooo.TMP / f"{name}.onnx"
    onnx.save(onnx_models.MODELS[name](7), path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(11)
    feed, args = {}, []
    for io in session.get_inputs():
        value = rng.integers(0, 2, io.shape) if "int64" in io.type else rng.standard_normal(io.shape)
        feed[io.name] = value.astype(np.int64 if "int64" in io.type else np.float32)
        np.save(ooo.TMP / f"{name}-{io.name}.npy", feed[io.name])
        args += ["--input", f"{io.name}={ooo.TMP}/{name}-{io.name}.npy"]
    want = session.run(None, feed)
    out = ooo.TMP / f"{name}-out.npy"
    report = ooo.run(path, *args, "--tenants", 4, "--requests", 3, "--inflight", 2, "--check-solo",
                     "--output", out)
    worst = 0.0
    for expected, file in zip(want, ooo.output_paths(out, len(want))):
        got = np.load(file)
        assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
        assert np.isfinite(got).all(), f"{name}: not finite"
        spread = float(expected.max() - expected.min())
        worst = max(worst, float(np.abs(got - expected).max()) / spread)
    assert worst <= RANGE_TOLERANCE, f"{name}: error {worst:.2e} of the output's range"
    assert report["solo_mismatches"] == 0 and report["ok"] == 12
    print(f"{name:14} {report['ops']:4} operators {report['steps']:4} steps  error {worst:.1e} of range  "
          f"width {report['mean_bundle_width']:.2f}  workspace {report['workspace_bytes'] >> 10} KiB "
          f"of {report['tensor_bytes'] >> 10} KiB")


with ooo.Agent():
    for model in onnx_models.MODELS:
        if not (os.environ.get("OOO_SANITIZE") and model in BIG):
            check(model)
