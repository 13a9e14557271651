"""Constants, shapes, ranges and casts of every source against both targets."""

import numpy as np
import pytest

from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import read_symbol
from facecvt.parity_tests.support.operator_cases import (
    Case,
    mxnet,
    onnx,
    onnx_graph,
    paddle,
    paddle_op,
    spread,
    uncovered,
)
from facecvt.parity_tests.support.single_op import Sample, random_array, skip_without

X = random_array(2, 3, 4, 5)
WHOLE = np.float32([[1.9, -1.9, 0.0, 300.5]])
FREE = {"x": [-1, 3, -1, -1]}


def mxnet_fill(op, shape, **attrs):
    """A case of an MXNet operator without inputs: what it gives is added to the data."""

    def make(folder):
        skip_without("mxnet")
        from facecvt.converters.compat_mxnet import import_mxnet

        mx = import_mxnet()
        filled = getattr(mx.sym, op.strip("_"))(shape, **attrs)
        total = mx.sym.broadcast_add(mx.sym.Variable("data"), filled)
        path = folder / "model-symbol.json"
        path.write_text(total.tojson())
        expected = total.eval(data=mx.nd.array(X))[0].asnumpy()
        return Sample(MxnetModel(read_symbol(path), {}, {}, "model", (path,)), {"data": X}, [expected])

    return Case("mxnet", op, "x".join(map(str, shape)), make)


CASES: list[Case] = [
    mxnet_fill("_ones", (4, 5)),
    mxnet_fill("_zeros", (3, 1, 1)),
    mxnet_fill("_full", (5,), val=-1.5),
    *mxnet(("Cast", "cast"), X, dtype="float64"),
    *mxnet("Cast", WHOLE, dtype="int32"),
    *mxnet("amp_cast", X, dtype="float32"),
    *mxnet("shape_array", X),
    *mxnet(("zeros_like", "ones_like"), X),
    *paddle("cast", "cast", "paddle.cast(x, 'int64')", x=WHOLE),
    *paddle("cast", "cast", "paddle.cast(x, 'bool')", x=WHOLE),
    *paddle("cast", "cast", "paddle.cast(paddle.cast(x, 'float64'), 'float32')", x=X),
    *paddle("shape", None, "paddle.shape(x)", x=X, shapes=FREE),
    *paddle(None, "shape64", "paddle.shape(x)", x=X, shapes=FREE),
    *paddle("fill_constant", "full", "x + paddle.full([3, 1, 1], 2.5)", x=X),
    *paddle("fill_any_like", "full_like", "x + paddle.full_like(x, 2.5)", x=X, shapes=FREE),
    *paddle("fill_any_like", "full_like", "paddle.full_like(x, 3, 'int64')", x=X),
    *paddle("fill_any_like", "full_like", "x + paddle.zeros_like(x)", x=X),
    *paddle_op("fill_any_like", {"X": ["x"]}, {}, older=("fill_zeros_like", {}), x=X),
    *paddle("size", "numel", "paddle.numel(x)", x=X, shapes=FREE),
    *paddle("fill_constant", "full", "x + paddle.full([3, 1, 1], -2, 'int64').astype('float32')", x=X),
    *paddle("fill_constant", "full_with_tensor", "paddle.full(paddle.shape(x)[:2], 0.5) + x[:, :, 0, 0]", x=X),
    *paddle("fill_constant", "full", "x[:, :1, :1, :1] + paddle.full([40, 3, 60], 0.25)", x=X),
    *paddle(None, "full_int_array", "paddle.reshape(x, [0, -1])", x=X),
    *paddle("assign_value", "assign_value", "x + paddle.assign(np.array([1.5, 2.5, -1, 0, 3], 'float32'))", x=X),
    *paddle(
        "assign_value", "assign_value", "x * paddle.assign(np.array([[2], [3]], 'int64'))[1].astype('float32')", x=X
    ),
    *paddle("range", "arange", "x + paddle.arange(0, 5, 1, 'float32')", x=X),
    *paddle("range", "arange", "x + paddle.arange(0, paddle.shape(x)[3], 1).astype('float32')", x=X, shapes=FREE),
    *onnx_graph("Constant", "c = Constant<value = float[2] {0.5, -0.5}>() y = Concat<axis = 0>(x, c)", X[0, 0, 0]),
    *(
        case
        for form in ("value_float = 0.5", "value_floats = [0.5, 1.0, 2.0, -3.0, 0.25]")
        for case in onnx_graph("Constant", f"c = Constant<{form}>() y = Mul(x, c)", X)
    ),
    *onnx_graph("Constant", "c = Constant<value_int = 3>() d = Cast<to = 1>(c) y = Mul(x, d)", X),
    *onnx_graph(
        "ConstantOfShape",
        "c = Constant<value_ints = [2, 1]>() d = ConstantOfShape<value = float[1] {1.5}>(c) "
        "e = Constant<value_ints = [5]>() f = ConstantOfShape(e) g = Add(d, f) y = Add(x, g)",
        X[:, 0, :2],
        opset=12,
    ),
    *onnx_graph(
        "ConstantOfShape", "s = Shape(x) c = ConstantOfShape<value = float[1] {1.5}>(s) y = Add(x, c)", X, opset=9
    ),
    *onnx_graph(
        "ConstantOfShape",
        "c = Constant<value_ints = [70, 70, 1]>() d = ConstantOfShape<value = int64[1] {2}>(c) e = Cast<to = 1>(d) "
        "y = Mul(x, e)",
        X[0, 0, :1, :2],
        text="large",
    ),
    *onnx("Shape", X, opsets=(7, 13, 21)),
    *onnx("Shape", X, opsets=(15, 21), start=1),
    *onnx("Shape", X, opsets=(15, 21), start=1, end=-1),
    *onnx("Shape", X, opsets=(15,), end=2),
    *onnx("Size", X, opsets=(7, 21)),
    *onnx("Cast", WHOLE, opsets=(7, 9, 13), to=7),
    *onnx("Cast", WHOLE, opsets=(13, 19, 21), to=9),
    *onnx("Cast", X > 0, opsets=(13,), to=1),
    *onnx("Cast", X, opsets=(13,), to=11),
    *onnx_graph("Cast", "s = Shape(x) y = Cast<to = 6>(s)", X, text="a-shape-leaves-as-int32"),
    *onnx_graph("Cast", "s = Shape(x) f = Cast<to = 1>(s) y = Add(x, f)", X[:, :, :, :4], text="a-shape-as-floats"),
    *onnx_graph(
        "Cast",
        "s = Shape(x) i = Cast<to = 6>(s) z = Constant<value_ints = [0]>() t = Constant<value_ints = [1]>() "
        "h = Slice(i, z, t) j = Cast<to = 7>(h) r = Constant<value_ints = [-1]>() c = Concat<axis = 0>(j, r) "
        "y = Reshape(x, c)",
        X,
        text="a-shape-through-int32",
    ),
    *onnx_graph(
        "Range",
        "s = Shape(x) i = Constant<value = int64 {3}>() n = Gather(s, i) z = Constant<value = int64 {0}>() "
        "o = Constant<value = int64 {1}>() r = Range(z, n, o) f = Cast<to = 1>(r) y = Add(x, f)",
        X,
        opset=11,
    ),
    *onnx_graph(
        "Range",
        "z = Constant<value_float = 0.5>() n = Constant<value_float = 3.0>() o = Constant<value_float = 0.5>() "
        "r = Range(z, n, o) y = Add(x, r)",
        X,
        text="of-floats",
    ),
    *onnx_graph(
        "Size", "n = Size(x) f = Cast<to = 1>(n) s = ReduceSum<keepdims = 0>(x) y = Div(s, f)", X, text="as-a-number"
    ),
    *onnx_graph(
        "Shape",
        "s = Shape(x) t = Shape(s) f = Cast<to = 1>(t) y = Mul(x, f)",
        X,
        text="of-a-shape",
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_constants(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["constants"]) == {}
