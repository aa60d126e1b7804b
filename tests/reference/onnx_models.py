# SPDX-License-Identifier: Apache-2.0
"""ONNX models with seeded random weights, written the way exporters write them.

usage: onnx_models.py NAME SEED OUT.onnx
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and initialisers; every method returns the name of its output."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.inits, self.inputs = [], [], []
        self.count = 0

    def name(self, stem):
        self.count += 1
        return f"{stem}_{self.count}"

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def const(self, array):
        name = self.name("w")
        self.inits.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attrs):
        outs = [self.name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), outs, name=outs[0], **attrs))
        return outs[0] if outputs == 1 else outs

    def weight(self, *shape, fan_in=None):
        fan_in = fan_in or int(np.prod(shape[1:])) or 1
        return self.const((self.rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32))

    def vector(self, n, low, high):
        return self.const(self.rng.uniform(low, high, n).astype(np.float32))

    def conv(self, x, cin, cout, k, stride=1, group=1, pad=None, bias=False):
        pad = k // 2 if pad is None else pad
        operands = [x, self.weight(cout, cin // group, k, k)]
        if bias:
            operands.append(self.vector(cout, -0.1, 0.1))
        return self.op("Conv", *operands, kernel_shape=[k, k], strides=[stride, stride],
                       pads=[pad] * 4, group=group)

    def batch_norm(self, x, c):
        return self.op("BatchNormalization", x, self.vector(c, 0.5, 1.0), self.vector(c, -0.1, 0.1),
                       self.vector(c, -0.1, 0.1), self.vector(c, 0.5, 1.5), epsilon=1e-5)

    def linear(self, x, cin, cout):
        return self.op("Add", self.op("MatMul", x, self.weight(cin, cout, fan_in=2 * cin)),
                       self.vector(cout, -0.1, 0.1))

    def model(self, outputs, opset=13):
        outs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "model", self.inputs, outs, self.inits)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 7
        return onnx.shape_inference.infer_shapes(model)


def resnet50(seed):
    g = Graph(seed)
    x = g.input("pixels", [1, 3, 224, 224])
    x = g.op("Relu", g.batch_norm(g.conv(x, 3, 64, 7, 2), 64))
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cin = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        mid = 64 << stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            y = g.op("Relu", g.batch_norm(g.conv(x, cin, mid, 1), mid))
            y = g.op("Relu", g.batch_norm(g.conv(y, mid, mid, 3, stride), mid))
            y = g.batch_norm(g.conv(y, mid, mid * 4, 1), mid * 4)
            if block == 0:
                x = g.batch_norm(g.conv(x, cin, mid * 4, 1, stride), mid * 4)
            x = g.op("Relu", g.op("Add", y, x))
            cin = mid * 4
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    return g.model([g.op("Gemm", x, g.weight(1000, 2048), g.vector(1000, -0.1, 0.1), transB=1)])


def mobilenet_v2(seed):
    g = Graph(seed)
    low, high = g.const(np.float32(0)), g.const(np.float32(6))

    def relu6(v):
        return g.op("Clip", v, low, high)

    x = g.input("pixels", [1, 3, 224, 224])
    x = relu6(g.batch_norm(g.conv(x, 3, 32, 3, 2), 32))
    cin = 32
    for expand, cout, repeat, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                         (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(repeat):
            s, mid, y = (stride if i == 0 else 1), cin * expand, x
            if expand != 1:
                y = relu6(g.batch_norm(g.conv(y, cin, mid, 1), mid))
            y = relu6(g.batch_norm(g.conv(y, mid, mid, 3, s, group=mid), mid))
            y = g.batch_norm(g.conv(y, mid, cout, 1), cout)
            x = g.op("Add", x, y) if s == 1 and cin == cout else y
            cin = cout
    x = relu6(g.batch_norm(g.conv(x, cin, 1280, 1), 1280))
    axes = g.const(np.array([2, 3], np.int64))
    x = g.op("Squeeze", g.op("GlobalAveragePool", x), axes)
    return g.model([g.op("Gemm", x, g.weight(1000, 1280), g.vector(1000, -0.1, 0.1), transB=1)])


def inception(seed):
    """Branches, concatenation, LRN, ceil-mode pools: the older nets' operators."""
    g = Graph(seed)
    x = g.input("pixels", [2, 3, 65, 65])
    x = g.op("Relu", g.conv(x, 3, 32, 7, 2, pad=3, bias=True))
    x = g.op("LRN", g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), size=5,
             alpha=1e-4, beta=0.75, bias=1.0)
    cin = 32
    for _ in range(3):
        one = g.op("Relu", g.conv(x, cin, 16, 1, bias=True))
        two = g.op("Relu", g.conv(g.op("Relu", g.conv(x, cin, 12, 1, bias=True)), 12, 24, 3, bias=True))
        three = g.op("LeakyRelu", g.conv(g.op("Relu", g.conv(x, cin, 8, 1, bias=True)), 8, 8, 5, bias=True),
                     alpha=0.1)
        pool = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        four = g.op("Relu", g.conv(pool, cin, 8, 1, bias=True))
        x = g.op("Concat", one, two, three, four, axis=1)
        cin = 56
    x = g.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    sizes = g.const(np.array([1, 1, 2, 2], np.float32))
    up = g.op("Resize", x, "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    head = g.op("Reshape", g.op("GlobalAveragePool", up), g.const(np.array([0, -1], np.int64)))
    return g.model([g.op("Softmax", g.linear(head, 56, 10), axis=1), up])


def layer_norm(g, x, width):
    """As torch.onnx exports it below opset 17."""
    mean = g.op("ReduceMean", x, axes=[-1])
    centred = g.op("Sub", x, mean)
    var = g.op("ReduceMean", g.op("Pow", centred, g.const(np.float32(2))), axes=[-1])
    std = g.op("Sqrt", g.op("Add", var, g.const(np.float32(1e-12))))
    return g.op("Add", g.op("Mul", g.op("Div", centred, std), g.vector(width, 0.5, 1.5)),
                g.vector(width, -0.1, 0.1))


def bert(seed, layers=12, width=768, heads=12, seq=128, vocab=2000):
    g = Graph(seed)
    ids = g.input("input_ids", [1, seq], TensorProto.INT64)
    mask = g.input("attention_mask", [1, seq], TensorProto.INT64)
    x = g.op("Gather", g.const((g.rng.standard_normal((vocab, width)) * 0.5).astype(np.float32)), ids, axis=0)
    x = g.op("Add", x, g.const((g.rng.standard_normal((1, seq, width)) * 0.5).astype(np.float32)))
    x = layer_norm(g, x, width)
    m = g.op("Cast", g.op("Unsqueeze", mask, g.const(np.array([1, 2], np.int64))), to=TensorProto.FLOAT)
    m = g.op("Mul", g.op("Sub", g.const(np.float32(1)), m), g.const(np.float32(-10000)))
    shape = g.const(np.array([0, 0, heads, width // heads], np.int64))
    flat = g.const(np.array([0, 0, width], np.int64))
    for _ in range(layers):
        def head(v, perm):
            return g.op("Transpose", g.op("Reshape", g.linear(v, width, width), shape), perm=perm)
        q, k, v = head(x, [0, 2, 1, 3]), head(x, [0, 2, 3, 1]), head(x, [0, 2, 1, 3])
        scores = g.op("Div", g.op("MatMul", q, k), g.const(np.float32(np.sqrt(width // heads))))
        probs = g.op("Softmax", g.op("Add", scores, m), axis=-1)
        ctx = g.op("Reshape", g.op("Transpose", g.op("MatMul", probs, v), perm=[0, 2, 1, 3]), flat)
        x = layer_norm(g, g.op("Add", g.linear(ctx, width, width), x), width)
        h = g.linear(x, width, 4 * width)
        erf = g.op("Erf", g.op("Div", h, g.const(np.float32(np.sqrt(2)))))
        gelu = g.op("Mul", g.op("Mul", h, g.op("Add", erf, g.const(np.float32(1)))), g.const(np.float32(0.5)))
        x = layer_norm(g, g.op("Add", g.linear(gelu, 4 * width, width), x), width)
    first = g.op("Gather", x, g.const(np.array(0, np.int64)), axis=1)
    return g.model([g.op("Tanh", g.linear(first, width, width)), x])


def bert_small(seed):
    return bert(seed, layers=2, width=128, heads=4, seq=64, vocab=500)


def lstm(seed):
    g = Graph(seed)
    hidden, seq = 64, 12
    x = g.input("frames", [seq, 2, 32])
    w1 = g.weight(2, 4 * hidden, 32, fan_in=64)
    r1 = g.weight(2, 4 * hidden, hidden, fan_in=2 * hidden)
    y = g.op("LSTM", x, w1, r1, g.const(g.rng.uniform(-0.1, 0.1, (2, 8 * hidden)).astype(np.float32)),
             hidden_size=hidden, direction="bidirectional")
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.const(np.array([0, 0, -1], np.int64)))
    outs = g.op("GRU", y, g.weight(1, 3 * hidden, 2 * hidden, fan_in=4 * hidden),
                g.weight(1, 3 * hidden, hidden, fan_in=2 * hidden),
                g.const(g.rng.uniform(-0.1, 0.1, (1, 6 * hidden)).astype(np.float32)),
                hidden_size=hidden, linear_before_reset=1, outputs=2)
    last = g.op("Squeeze", outs[1], g.const(np.array([0], np.int64)))
    return g.model([g.op("LogSoftmax", g.linear(last, hidden, 7), axis=-1), outs[0]])


def segmentation(seed):
    """Encoder and decoder with transposed and dilated convolutions, PRelu, Pad, Slice, instance norm."""
    g = Graph(seed)
    x = g.input("pixels", [1, 3, 48, 40])
    x = g.op("Pad", x, g.const(np.array([0, 0, 1, 2, 0, 0, 1, 2], np.int64)), mode="reflect")
    a = g.op("PRelu", g.conv(x, 3, 16, 3, bias=True), g.const(g.rng.uniform(0, 0.3, (16, 1, 1)).astype(np.float32)))
    b = g.op("Conv", a, g.weight(24, 16, 3, 3), kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2],
             strides=[2, 2])
    b = g.op("InstanceNormalization", b, g.vector(24, 0.5, 1.5), g.vector(24, -0.1, 0.1), epsilon=1e-5)
    b = g.op("Mul", b, g.op("HardSigmoid", b, alpha=1 / 6, beta=0.5))
    c = g.op("ConvTranspose", b, g.weight(24, 16, 2, 2, fan_in=96), kernel_shape=[2, 2], strides=[2, 2])
    c = g.op("Sigmoid", c)
    d = g.op("Concat", a, c, axis=1)
    gate = g.op("Sigmoid", g.conv(g.op("GlobalAveragePool", d), 32, 32, 1, bias=True))
    d = g.op("Mul", d, gate)
    e = g.op("Slice", g.conv(d, 32, 5, 1, bias=True), g.const(np.array([1, 2], np.int64)),
             g.const(np.array([-1, -2], np.int64)), g.const(np.array([2, 3], np.int64)))
    return g.model([e, g.op("ReduceMean", d, axes=[2, 3], keepdims=0)])


MODELS = {f.__name__: f for f in (resnet50, mobilenet_v2, inception, bert, bert_small, lstm, segmentation)}

if __name__ == "__main__":
    onnx.save(MODELS[sys.argv[1]](int(sys.argv[2])), sys.argv[3])
