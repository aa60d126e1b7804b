#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test-timeout: 400
"""The ONNX project's "light" models: real graphs, constant weights, the project's own expected outputs."""

import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

np, onnx = ooo.need("numpy", "onnx")

FOLDER = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
SANITIZED = ["light_squeezenet", "light_shufflenet"]

if not list(FOLDER.glob("light_*.onnx")):
    ooo.skip(f"the onnx package has no light models in {FOLDER}")

names = sorted(p.stem for p in FOLDER.glob("light_*.onnx"))
if os.environ.get("OOO_SANITIZE"):
    names = [n for n in names if n in SANITIZED]

with ooo.Agent():
    for name in names:
        model = onnx.load(FOLDER / f"{name}.onnx")
        weights = {w.name for w in model.graph.initializer}
        io = next(i for i in model.graph.input if i.name not in weights)
        shape = [d.dim_value for d in io.type.tensor_type.shape.dim]
        n = int(np.prod(shape))
        pixels = ooo.TMP / f"{name}.npy"
        np.save(pixels, (np.arange(n) / n).reshape(shape).astype(np.float32))
        report = ooo.run(FOLDER / f"{name}.onnx", "--input", pixels, "--compare",
                         FOLDER / f"{name}_output_0.pb", "--rtol", "1e-3", "--atol", "1e-5",
                         "--tenants", 4, "--requests", 2)
        assert report["ok"] == 8 and report["wrong"] == 0
        print(f"{name:22} right from 4 tenants, largest error {report['max_abs_err']:.1e}")
