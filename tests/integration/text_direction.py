#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test-timeout: 300
"""A model with trained weights: is a line of text upright or upside down? Same answers as onnxruntime.

The classifier comes from the PyPI package rapidocr-onnxruntime, fetched when the test runs, pinned
by version and digest.
"""

import os
import subprocess
import sys
import zipfile

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

np, ort, PIL = ooo.need("numpy", "onnxruntime", "PIL")
from PIL import Image, ImageDraw, ImageFont

PACKAGE = "rapidocr-onnxruntime==1.4.4"
DIGEST = "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
MODEL = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
LINES = ["Out of order", "very long words", "inference 2026", "HELLO WORLD", "late binding", "window",
         "Bundle 42", "shared GPU"]


def fetch():
    pins = ooo.TMP / "pins.txt"
    pins.write_text(f"{PACKAGE} --hash=sha256:{DIGEST}\n")
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                           "-r", pins, "-d", ooo.TMP], capture_output=True, text=True)
    if done.returncode:
        ooo.skip(f"{PACKAGE} could not be fetched: {done.stderr.strip().splitlines()[-1]}")
    wheel = next(ooo.TMP.glob("rapidocr*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        path = ooo.TMP / "cls.onnx"
        path.write_bytes(archive.read(MODEL))
    return path


def render(text, upside_down):
    image = Image.new("RGB", (192, 48), "white")
    draw = ImageDraw.Draw(image)
    draw.text((6, 8), text, fill="black", font=ImageFont.load_default(size=26))
    if upside_down:
        image = image.rotate(180)
    pixels = np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1)
    return ((pixels / 255 - 0.5) / 0.5)[None].astype(np.float32)


model = fetch()
session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
right = 0
with ooo.Agent():
    for text in LINES:
        for upside_down in (False, True):
            pixels = render(text, upside_down)
            np.save(ooo.TMP / "pixels.npy", pixels)
            want = session.run(None, {name: pixels})[0]
            ooo.run(model, "--shape", f"{name}=1x3x48x192", "--input", ooo.TMP / "pixels.npy", "--output",
                    ooo.TMP / "out.npy")
            got = np.load(ooo.TMP / "out.npy")
            assert np.abs(got - want).max() < 1e-4, f"{text!r}: {got} but onnxruntime says {want}"
            assert got.argmax() == want.argmax()
            right += int(got.argmax() == upside_down)
print(f"{2 * len(LINES)} images classified as onnxruntime does; {right} of them rightly")
assert right > len(LINES), "the rendering no longer looks like text to the model"
