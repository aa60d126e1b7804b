#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test-timeout: 400
"""
Single operators with random shapes, attributes and opset versions, against onnxruntime: right or
refused, never wrong. The node tests of the ONNX project show one version of each operator; the
differences between versions, and rare combinations of attributes, are looked for here.
"""

import collections
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["OOO_ROOT"], "tests/reference"))
import ooo

np, onnx, ort = ooo.need("numpy", "onnx", "onnxruntime")
from onnx import TensorProto, helper, numpy_helper

RUNNER = pathlib.Path(os.environ["OOO_BUILD"]) / "tests/integration/node_runner"
SEED = int(os.environ.get("SEED", "1"))
CASES = int(os.environ.get("CASES", "600" if not os.environ.get("OOO_SANITIZE") else "200"))
LEAST_RIGHT = 0.4  # of the cases; the rest are combinations that are refused
rng = np.random.default_rng(SEED)


def pick(*choices):
    return choices[rng.integers(len(choices))]


def ints(low, high, n):
    return [int(v) for v in rng.integers(low, high, n)]


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


class Case:
    """One node: data inputs come at run time, constants are initialisers."""

    def __init__(self, op, opset, **attributes):
        self.op, self.opset = op, opset
        self.attributes = {k: v for k, v in attributes.items() if v is not None}
        self.data, self.constants, self.names, self.outputs = [], [], [], 1

    def input(self, array):
        self.names.append(f"x{len(self.data)}")
        self.data.append((self.names[-1], np.asarray(array)))
        return self

    def const(self, array):
        self.names.append(f"c{len(self.names)}")
        self.constants.append((self.names[-1], np.asarray(array)))
        return self

    def absent(self):
        self.names.append("")
        return self

    def model(self):
        outputs = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, self.names, outputs, **self.attributes)
        graph = helper.make_graph(
            [node], self.op,
            [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
             for n, a in self.data],
            [helper.make_empty_tensor_value_info(n) for n in outputs],
            [numpy_helper.from_array(a, n) for n, a in self.constants])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                 ir_version=10)


def opset(low=7):
    return int(rng.integers(low, 23))


def window(spatial, most=3):
    kernel, stride = ints(1, most + 1, spatial), ints(1, 4, spatial)
    auto = pick(None, None, None, "SAME_UPPER", "SAME_LOWER", "VALID")
    pads = None if auto else pick(None, [int(v) for v in rng.integers(0, kernel * 2)])
    return {"kernel_shape": kernel, "strides": pick(None, stride), "auto_pad": auto, "pads": pads}


def conv():
    spatial, group = pick(1, 2, 2), pick(1, 1, 2)
    w = window(spatial)
    channels, out = 2 * group, 3 * group
    x, weight = normal(2, channels, *ints(4, 9, spatial)), normal(out, channels // group, *w["kernel_shape"])
    case = Case("Conv", opset(), group=group, dilations=pick(None, ints(1, 3, spatial)), **w)
    case.input(x).const(weight)
    return case.const(normal(out)) if pick(True, False) else case


def conv_transpose():
    spatial, group = pick(1, 2, 2), pick(1, 2)
    w = window(spatial)
    x, weight = normal(1, 2 * group, *ints(3, 6, spatial)), normal(2 * group, 3, *w["kernel_shape"])
    case = Case("ConvTranspose", opset(), group=group, dilations=pick(None, ints(1, 3, spatial)),
                output_padding=pick(None, None, ints(0, 2, spatial)), **w)
    return case.input(x).const(weight)


def pool():
    spatial, version = pick(1, 2, 2), opset()
    case = Case(pick("MaxPool", "AveragePool"), version, **window(spatial))
    if version >= 10:
        case.attributes["ceil_mode"] = pick(0, 1)
    if case.op == "AveragePool":
        # From opset 19 on onnxruntime leaves automatic padding out of the count, against the standard.
        plain = version < 19 or not (case.attributes.get("auto_pad") or "").startswith("SAME")
        case.attributes["count_include_pad"] = pick(0, 1) if plain else 0
    elif version >= 10 and pick(True, False):
        case.attributes["dilations"] = ints(1, 3, spatial)
    return case.input(normal(2, 2, *ints(5, 10, spatial)))


def softmax():
    shape = ints(1, 5, pick(1, 2, 3, 4))
    return Case(pick("Softmax", "LogSoftmax", "Hardmax"), opset(),
                axis=pick(None, int(rng.integers(0, len(shape))))).input(normal(*shape))


def reduce():
    shape = ints(1, 5, pick(1, 2, 3, 4))
    op = pick("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
              "ReduceSumSquare", "ReduceLogSumExp", "ReduceLogSum")
    x, version = normal(*shape), opset()
    axes = pick(None, sorted(int(v) for v in rng.permutation(len(shape))[:rng.integers(1, len(shape) + 1)]))
    case = Case(op, version, keepdims=pick(None, 0, 1))
    case.input(np.abs(x) + 0.1 if op == "ReduceLogSum" else x)
    if axes is not None and version >= (13 if op == "ReduceSum" else 18):
        case.const(np.array(axes, np.int64))
    elif axes is not None:
        case.attributes["axes"] = axes
    return case


def arg():
    shape = ints(1, 5, pick(1, 2, 3))
    version = opset()
    return Case(pick("ArgMax", "ArgMin"), version, axis=pick(None, int(rng.integers(0, len(shape)))),
                keepdims=pick(None, 0, 1),
                select_last_index=pick(None, 0, 1) if version >= 12 else None,
                ).input(rng.integers(0, 3, shape).astype(np.float32))


def slices():
    shape, version = ints(1, 7, pick(1, 2, 3)), opset()
    n = int(rng.integers(1, len(shape) + 1))
    axes = [int(v) for v in rng.permutation(len(shape))[:n]]
    starts, ends = ints(-8, 9, n), ints(-8, 9, n)
    case = Case("Slice", version).input(normal(*shape))
    if version < 10:
        case.attributes.update(starts=starts, ends=ends, axes=axes)
        return case
    for v in (starts, ends, axes):
        case.const(np.array(v, pick(np.int32, np.int64)))
    types = {a.dtype for _, a in case.constants}
    case.constants = [(n, a.astype(min(types, key=str))) for n, a in case.constants]
    return case.const(np.array([pick(1, 2, 3, -1, -2) for _ in axes], min(types, key=str)))


def pad():
    rank, version, mode = pick(1, 2, 3, 4), opset(), pick("constant", "reflect", "edge")
    shape = ints(2, 5, rank)
    pads = [int(v) for v in rng.integers(-1 if mode == "constant" else 0, 3, 2 * rank)]
    case = Case("Pad", version, mode=mode).input(normal(*shape))
    if version < 11:
        case.attributes.update(pads=pads, value=float(pick(0, 1.5)))
        return case
    some = version >= 18 and pick(True, False)
    axes = [int(v) for v in rng.permutation(rank)[:rng.integers(1, rank + 1)]]
    if some:
        pads = [pads[v] for v in axes] + [pads[v + rank] for v in axes]
    case.const(np.array(pads, np.int64))
    if mode == "constant" and pick(True, False):
        case.const(np.float32(2.5))
    elif some:
        case.absent()
    return case.const(np.array(axes, np.int64)) if some else case


def resize():
    version, shape = opset(10), [1, 2, *ints(2, 6, 2)]
    mode = pick("nearest", "linear")
    case = Case("Resize", version, mode=mode).input(normal(*shape))
    scales = np.array([1, 1, *(pick(0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 3.0) for _ in range(2))], np.float32)
    if version == 10:
        return case.const(scales)
    case.attributes.update(
        coordinate_transformation_mode=pick("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"))
    if mode == "nearest":
        case.attributes.update(nearest_mode=pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    if pick(True, False):
        return case.const(np.zeros(0, np.float32)).const(scales)
    case.const(np.zeros(0, np.float32)).const(np.zeros(0, np.float32))
    return case.const(np.array(shape[:2] + ints(1, 10, 2), np.int64))


def upsample():
    version = int(rng.integers(7, 10))
    scales = [1.0, 1.0, *(float(pick(1, 1.5, 2, 3)) for _ in range(2))]
    case = Case("Upsample", version, mode=pick("nearest", "linear")).input(normal(1, 2, *ints(2, 6, 2)))
    if version < 9:
        case.attributes["scales"] = scales
        return case
    return case.const(np.array(scales, np.float32))


def split():
    version, parts = opset(), int(rng.integers(1, 11))
    shape = ints(1, 4, pick(1, 2, 3))
    axis = int(rng.integers(0, len(shape)))
    sizes = ints(1, 4, parts)
    shape[axis] = sum(sizes)
    case = Case("Split", version, axis=axis).input(normal(*shape))
    case.outputs = parts
    if version < 13:
        case.attributes["split"] = sizes
        return case
    if version < 18 or pick(True, False):
        return case.const(np.array(sizes, np.int64))
    # As onnxruntime has it, which cuts equal parts from the front and the rest last.
    case.attributes["num_outputs"] = parts
    shape[axis] = -(-shape[axis] // parts) * parts - pick(0, 0, 1) * (parts > 1)
    case.data.clear()
    case.names.clear()
    return case.input(normal(*shape))


def gather_elements():
    shape = ints(1, 5, pick(1, 2, 3))
    axis = int(rng.integers(0, len(shape)))
    cut = [int(rng.integers(1, v + 1)) for v in shape]
    cut[axis] = int(rng.integers(1, 7))
    index = rng.integers(-shape[axis], shape[axis], cut).astype(pick(np.int32, np.int64))
    return Case("GatherElements", opset(11), axis=axis).input(normal(*shape)).const(index)


def gather_nd():
    shape = ints(1, 5, pick(1, 2, 3, 4))
    depth = int(rng.integers(1, len(shape) + 1))
    at = ints(1, 4, pick(0, 1, 2))
    index = np.stack([rng.integers(-v, v, at) for v in shape[:depth]], -1).astype(np.int64)
    return Case("GatherND", opset(12)).input(normal(*shape)).const(index)


def gather():
    shape, version = ints(1, 5, pick(1, 2, 3)), opset()
    axis = int(rng.integers(0, len(shape)))
    low = -shape[axis] if version >= 11 else 0
    index = rng.integers(low, shape[axis], ints(1, 4, pick(0, 1, 2))).astype(pick(np.int32, np.int64))
    return Case("Gather", version, axis=axis).input(normal(*shape)).input(index)


def gemm():
    m, k, n = ints(1, 6, 3)
    ta, tb = pick(0, 1), pick(0, 1)
    case = Case("Gemm", opset(), transA=ta, transB=tb, alpha=float(pick(1, 0.5)), beta=float(pick(1, 2)))
    case.input(normal(*((k, m) if ta else (m, k)))).input(normal(*((n, k) if tb else (k, n))))
    return case.input(normal(*pick((n,), (1, n), (m, 1), (m, n), (1,))))


def matmul():
    m, k, n, batch = *ints(1, 6, 3), ints(1, 4, 2)
    a = pick((m, k), (*batch, m, k), (k,), (1, batch[1], m, k))
    b = pick((k, n), (*batch, k, n), (k,))
    return Case("MatMul", opset()).input(normal(*a)).input(normal(*b))


def binary():
    shape = ints(1, 5, pick(1, 2, 3, 4))
    other = [v if pick(True, True, False) else 1 for v in shape][int(rng.integers(0, len(shape))):]
    op = pick("Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Less", "PRelu", "Equal", "Pow")
    version = opset(8 if op in ("Max", "Min") else 11 if op == "Equal" else 9)
    dtype = pick(np.float32, np.float32, np.int64, np.int32) if op not in ("PRelu", "Pow") else np.float32
    a, b = (rng.integers(1, 9, s).astype(dtype) * pick(1, 1, dtype(-1)) for s in (shape, other))
    if op == "Pow":
        a, b = np.abs(a), b % 4
    return Case(op, version).input(a).input(b)


def unary():
    op = pick("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign",
              "Exp", "Abs", "Neg", "Floor", "Ceil", "Sin", "Cos", "Erf", "Sign", "Round", "ThresholdedRelu",
              "Celu", "HardSwish", "Shrink", "IsNaN", "Identity", "Gelu", "Mish")
    case = Case(op, opset(20 if op == "Gelu" else 18 if op == "Mish" else 14)).input(normal(*ints(1, 6, pick(1, 2, 3))) * 3)
    if op in ("LeakyRelu", "Elu", "Selu", "HardSigmoid", "ThresholdedRelu", "Celu") and pick(True, False):
        case.attributes["alpha"] = 0.4
    if op == "Gelu":
        case.attributes["approximate"] = pick("none", "tanh")
    if op == "Shrink":
        case.attributes.update(lambd=1.0, bias=float(pick(0, 0.5)))
    return case


def norm():
    channels, spatial = int(rng.integers(1, 5)), pick(1, 2)
    x = normal(2, channels, *ints(2, 6, spatial))
    op = pick("BatchNormalization", "InstanceNormalization", "LayerNormalization", "LRN")
    if op == "LRN":
        return Case(op, opset(), size=pick(1, 3, 5), bias=2.0, alpha=0.3, beta=0.5).input(x)
    if op == "LayerNormalization":
        axis = int(rng.integers(-x.ndim, x.ndim))
        tail = x.shape[axis:]
        return Case(op, 17, axis=axis, epsilon=1e-3).input(x).const(normal(*tail)).const(normal(*tail))
    case = Case(op, pick(9, 13, 15), epsilon=1e-3).input(x).const(normal(channels)).const(normal(channels))
    if op == "BatchNormalization":
        case.const(normal(channels)).const(np.abs(normal(channels)) + 0.5)
    return case


def rnn():
    op, direction = pick("LSTM", "GRU"), pick("forward", "reverse", "bidirectional")
    steps, batch, width, hidden = ints(1, 6, 4)
    dirs, gates = 2 if direction == "bidirectional" else 1, 4 if op == "LSTM" else 3
    case = Case(op, opset(), direction=direction, hidden_size=hidden)
    case.input(normal(steps, batch, width)).const(normal(dirs, gates * hidden, width))
    case.const(normal(dirs, gates * hidden, hidden))
    if op == "GRU":
        case.attributes["linear_before_reset"] = pick(0, 1)
    case.outputs = pick(1, 2, 3) if op == "LSTM" else pick(1, 2)
    if pick(True, False):
        case.const(normal(dirs, 2 * gates * hidden))
        if pick(True, False):
            case.absent().input(normal(dirs, batch, hidden))
            if op == "LSTM" and pick(True, False):
                case.input(normal(dirs, batch, hidden))
                if pick(True, False):
                    case.const(normal(dirs, 3 * hidden))
    if pick(True, False, False):
        case.attributes["clip"] = 0.5
    return case


def shapes():
    shape, version = ints(1, 5, pick(2, 3, 4)), opset()
    op = pick("Flatten", "Transpose", "Expand", "Tile", "Concat", "DepthToSpace", "SpaceToDepth", "Clip")
    x = normal(*shape)
    if op == "Flatten":
        return Case(op, version, axis=int(rng.integers(0, len(shape) + 1))).input(x)
    if op == "Transpose":
        return Case(op, version, perm=pick(None, [int(v) for v in rng.permutation(len(shape))])).input(x)
    if op == "Expand":
        return Case(op, max(version, 8)).input(normal(1, shape[1])).const(np.array([2, *shape[:1], 1], np.int64))
    if op == "Tile":
        return Case(op, version).input(x).const(np.array(ints(1, 4, len(shape)), np.int64))
    if op == "Concat":
        axis = int(rng.integers(0, len(shape)))
        case = Case(op, version, axis=axis)
        for _ in range(pick(1, 2, 4)):
            shape[axis] = int(rng.integers(1, 4))
            case.input(normal(*shape))
        return case
    if op == "DepthToSpace":
        return Case(op, version, blocksize=2, mode=pick("DCR", "CRD") if version >= 11 else None,
                    ).input(normal(1, 8, *ints(1, 4, 2)))
    if op == "SpaceToDepth":
        return Case(op, version, blocksize=2).input(normal(1, 3, *(2 * v for v in ints(1, 4, 2))))
    case = Case(op, version).input(x)
    if version < 11:
        case.attributes.update(min=-0.5, max=pick(None, 0.5))
        return case
    return pick(case.const, case.input)(np.float32(-0.5)).const(np.float32(0.5))


GENERATORS = [conv, conv, conv_transpose, pool, pool, softmax, reduce, arg, slices, pad, resize, upsample,
              split, gather, gather_elements, gather_nd, gemm, matmul, binary, unary, norm, rnn, shapes, shapes]


def save(folder, case):
    """False where onnxruntime does not take the case."""
    model = case.model()
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        want = session.run(None, dict(case.data))
    except Exception:
        return False
    if any(w.size == 0 for w in want):
        return False
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, arrays in (("input", [a for _, a in case.data]), ("output", want)):
        for i, array in enumerate(arrays):
            (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())
    return True


ort.set_default_logger_severity(4)
folders = []
while len(folders) < CASES:
    case = pick(*GENERATORS)()
    folder = ooo.TMP / f"{len(folders):04}_{case.op}_{case.opset}"
    if save(folder, case):
        folders.append(folder)

with ooo.Agent():
    done = subprocess.run([str(RUNNER), *map(str, folders)], capture_output=True, text=True, timeout=380)
counts = collections.Counter()
for line in done.stdout.splitlines():
    verdict, name = line.split(":", 1)[0].split()
    counts[verdict] += 1
    if verdict in ("wrong", "failed"):
        print(line)
        node = onnx.load(ooo.TMP / name / "model.onnx").graph.node[0]
        print("   ", {a.name: helper.get_attribute_value(a) for a in node.attribute})
print(dict(counts), done.stderr[-2000:])
assert sum(counts.values()) == len(folders), "the runner stopped early"
assert done.returncode == 0 and not counts["wrong"] and not counts["failed"], f"SEED={SEED}"
assert counts["pass"] + counts["fixed"] >= LEAST_RIGHT * len(folders), "too many refusals"
