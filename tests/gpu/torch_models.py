# SPDX-License-Identifier: Apache-2.0
"""
Models that torch.onnx.export writes on this machine, through the agent, against PyTorch in fp32.

    python3 tests/gpu/torch_models.py BIN [--device cuda] [--only resnet50 --only bert_sdpa]
        [--precision fp32] [--tenants 1,16] [--requests N] [--seconds S] [--keep FOLDER]

Needs torch, torchvision, transformers. Weights are random, seeded. fp32: 1e-4 of the outputs' range;
fp16: 2e-2 of it and the same arg-max; from 1 tenant and from 16, all bits equal. Each model has
--seconds for its export and runs: what does not fit counts as skipped, and says so. --keep keeps the
exported models, and finds them there the next time.
"""
import argparse
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
import torchvision

parser = argparse.ArgumentParser()
parser.add_argument("bin", type=pathlib.Path)
parser.add_argument("--device", default="cuda")
parser.add_argument("--only", action="append", default=[], help="models whose name has this in it")
parser.add_argument("--precision", action="append", choices=["fp32", "tf32", "fp16", "bf16"])
parser.add_argument("--tenants", default="1,16")
parser.add_argument("--requests", type=int, default=2, help="of each tenant, beside those of its solo run")
parser.add_argument("--seconds", type=float, default=120, help="for one model")
parser.add_argument("--keep", type=pathlib.Path, help="folder for the exported models")
args = parser.parse_args()

LIMITS = {"fp32": 1e-4, "tf32": 2e-2, "fp16": 2e-2, "bf16": 1e-1}
temporary = tempfile.TemporaryDirectory()
folder = args.keep or pathlib.Path(temporary.name)
folder.mkdir(parents=True, exist_ok=True)


def say(text):
    print(text, flush=True)


class Encoder(torch.nn.Module):
    def __init__(self, attention):
        from transformers import BertConfig, BertModel
        super().__init__()
        self.bert = BertModel(BertConfig(attn_implementation=attention))

    def forward(self, ids, mask):
        return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state


def bert(attention):
    mask = torch.ones(1, 128, dtype=torch.int64)
    mask[0, 100:] = 0
    return Encoder(attention), {"ids": torch.randint(0, 30000, (1, 128)), "mask": mask}


def vision(name):
    """
    The statistics of the BatchNorms are those of random pictures: with the mean of 0 and variance of 1
    that they begin with, MobileNet's numbers shrink from layer to layer until fp16 has only zeros for
    them, in PyTorch as well.
    """
    model = getattr(torchvision.models, name)()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the average of all passes
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(8, 3, 224, 224))
    return model, {"x": torch.randn(1, 3, 224, 224)}


MODELS = {"resnet50": lambda: vision("resnet50"), "mobilenet_v2": lambda: vision("mobilenet_v2"),
          "bert_eager": lambda: bert("eager"), "bert_sdpa": lambda: bert("sdpa")}


def export(name):
    """The model's answer; its file and inputs are in the folder."""
    kept = folder / f"{name}.want.npy"
    if kept.exists():
        return np.load(kept)
    torch.manual_seed(len(name))
    model, inputs = MODELS[name]()
    model.eval()
    with torch.no_grad():
        want = model(*inputs.values())
    torch.onnx.export(model, tuple(inputs.values()), str(folder / f"{name}.onnx"), input_names=list(inputs),
                      output_names=["out"], dynamo=True, external_data=False, verbose=False)
    np.savez(folder / f"{name}.npz", **{k: v.numpy() for k, v in inputs.items()})
    np.save(kept, want.numpy())
    return want.numpy()


def run(env, name, want, precision, tenants, seconds):
    """What to say, and whether it passed; None: no time."""
    out = folder / "out.npy"
    # A solo run of one tenant would compare it with itself.
    solo = ["--check-solo"] if tenants > 1 else []
    try:
        done = subprocess.run([args.bin / "ooo-run", folder / f"{name}.onnx", "--input", folder / f"{name}.npz",
                               "--precision", precision, "--tenants", str(tenants), "--requests",
                               str(args.requests), "--output", out, "--quiet", *solo],
                              env=env, capture_output=True, text=True, timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        return "no time left for it (--seconds)", None
    if done.returncode:
        return f"FAILED: {(done.stderr or done.stdout).strip()[-300:]}", False
    got = np.load(out)
    error = np.abs(got - want).max() / np.abs(want).max()
    same = got.reshape(-1).argmax() == want.reshape(-1).argmax() or precision == "bf16"
    good = np.isfinite(got).all() and error <= LIMITS[precision] and (same or "bert" in name)
    return f"error {error:.2e} of the range, arg-max {'same' if same else 'OTHER'}", good


def check(env, name):
    """Count of passed, failed and skipped runs."""
    counts = {True: 0, False: 0, None: 0}
    end = time.time() + args.seconds
    say(f"     {name}: exporting")
    want = export(name)
    say(f"     {name}: exported, {args.seconds - (end - time.time()):.1f} s")
    for precision in args.precision or (("fp32", "tf32", "fp16", "bf16") if args.device == "cuda" else ("fp32",)):
        for tenants in map(int, args.tenants.split(",")):
            begin = time.time()
            text, good = run(env, name, want, precision, tenants, end - begin)
            word = {True: "ok  ", False: "FAIL", None: "skip"}[good]
            say(f"{word} {name} {precision} x{tenants}: {text} ({time.time() - begin:.1f} s)")
            counts[good] += 1
    return counts


total = {True: 0, False: 0, None: 0}
env = dict(os.environ, OOO_RUNTIME_DIR=tempfile.mkdtemp())
log = open(folder / "agent.log", "w+")
agent = subprocess.Popen([args.bin / "ooo-agent", "--device", args.device], env=env, stderr=log)
try:
    while "ready" not in (folder / "agent.log").read_text():
        assert agent.poll() is None, (folder / "agent.log").read_text()
        time.sleep(0.1)
    for name in MODELS:
        if not args.only or any(part in name for part in args.only):
            for key, n in check(env, name).items():
                total[key] += n
finally:
    agent.terminate()
    agent.wait(60)
    say((folder / "agent.log").read_text()[-1500:])
say(f"{total[True]} passed, {total[False]} failed, {total[None]} skipped")
raise SystemExit(total[False] > 0 or not total[True])
