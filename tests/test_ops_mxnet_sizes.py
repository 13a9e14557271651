"""Sizes that are known at run time only: formulas of them, MXNet's codes for them, and whole graphs at every batch."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnx.parser
import pytest

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.locate import locate
from facecvt.converters.ops.reshape_to_mxnet import INFER, codes_for
from facecvt.converters.sizes import (
    Size,
    Sizes,
    added,
    arithmetic,
    divided,
    number_sizes,
    product,
    quotient,
    subtracted,
)
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.runtimes.open_target import open_target
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import compare
from facecvt.parity_tests.verify import verify

N, H, W = Size(1, ("n",)), Size(1, ("h",)), Size(1, ("w",))


def test_formulas_are_kept_as_far_as_they_are_products_and_offsets() -> None:
    assert product([Size(2), N, Size(3)]) == Size(6, ("n",))
    assert product([H, N]) == product([N, H]) == Size(1, ("h", "n"))
    assert product([N, Size(0)]) == Size(0)
    assert added(Size(2, ("n",)), N) == Size(3, ("n",))
    assert added(Size(4), N) == added(N, Size(4)) == Size(1, ("n",), 4)
    assert subtracted(added(N, Size(4)), Size(4)) == N
    assert subtracted(added(N, Size(4)), N) == Size(4)
    assert product([added(N, Size(1)), Size(2)]) == Size(2, ("n",), 2)
    assert divided(Size(6, ("h", "n")), Size(2, ("n",))) == Size(3, ("h",))
    assert divided(Size(-7), Size(2)) == Size(-3)
    assert (N.number, N.key, Size(2, ("n",)).key, Size(5).number) == (None, "n", None, 5)


def test_what_is_no_formula_is_a_size_of_its_own() -> None:
    assert divided(N, Size(2)) == divided(N, Size(2)) != divided(N, Size(3))
    assert added(N, H) != N
    assert product([added(N, Size(1)), H]).key is not None
    assert quotient(N, Size(2)) is None
    assert quotient(Size(6, ("n",)), N) == Size(6)
    assert divided(N, Size(0)).number is None


def test_vectors_are_computed_element_by_element() -> None:
    shape = Sizes((N, Size(3), H))
    assert arithmetic("Mul", shape, number_sizes([2], scalar=True)) == Sizes(
        (Size(2, ("n",)), Size(6), Size(2, ("h",)))
    )
    assert arithmetic("Mul", shape, number_sizes([1, 2])) is None
    assert arithmetic("Pow", shape, shape) is None
    assert shape.numbers is None
    assert number_sizes([1, 2]).numbers == [1, 2]


CODES = {
    "numbers": ([N, Size(6)], [Size(2), Size(3)], [2, 3]),
    "copied": ([N, Size(6), H], [N, Size(2), INFER], [0, 2, -1]),
    "inferred": ([N, Size(6)], [Size(3, ("n",)), Size(2)], [-1, 2]),
    "multiplied": ([N, Size(6), H, W], [N, Size(6), product([H, W])], [0, 6, -3]),
    "two-products": ([N, Size(6), H, W], [product([N, Size(6)]), product([H, W])], [-3, -3]),
    "three-unknown": ([N, Size(6), H, W], [product([N, Size(6)]), H, W], [-3, 0, 0]),
    "divided": ([N, Size(4, ("c",)), H, W], [N, Size(4), Size(1, ("c",)), H, W], [0, -4, 4, -1, 0, 0]),
    "none": ([N, H, W], [W, H, N], None),
}


@pytest.mark.parametrize(("source", "target", "codes"), CODES.values(), ids=CODES)
def test_codes(source: list[Size], target: list[Size], codes: list[int] | None, mxnet_module: ModuleType) -> None:
    """The codes, and that MXNet reads them so."""
    assert codes_for(source, target) == codes
    if codes is None:
        return
    numbers = {"n": 2, "h": 3, "w": 5, "c": 7}

    def value(size: Size) -> int:
        return int(size.factor * np.prod([numbers[key] for key in size.keys], dtype=int)) + size.offset

    operand = [value(size) for size in source]
    if target == [Size(2), Size(3)]:
        operand = [1, 6]
    shape = mxnet_module.nd.zeros(operand).reshape(shape=tuple(codes)).shape
    wanted = [value(size) for size in target]
    if -1 in wanted:
        wanted[wanted.index(-1)] = int(np.prod(operand) // -np.prod(wanted))
    assert list(shape) == wanted


# Statements that compute y from x, and the shape of x; n, h and w are dynamic.
GRAPHS = {
    "flatten-by-shape": (
        "x[n,6,4]",
        """s = Shape(x) i = Constant<value_int = 0>() n = Gather(s, i) a = Constant<value_ints = [0]>()
           u = Unsqueeze(n, a) r = Constant<value_ints = [-1]>() t = Concat<axis = 0>(u, r) y = Reshape(x, t)""",
    ),
    "batch-into-rows": ("x[n,6,4]", "t = Constant<value_ints = [-1, 4]>() y = Reshape(x, t)"),
    "batch-and-back": (
        "x[n,6,4]",
        """t = Constant<value_ints = [-1, 2, 4]>() r = Reshape(x, t) s = Shape(x) q = Relu(r) y = Reshape(q, s)""",
    ),
    "flatten-in-the-middle": ("x[n,3,4,5]", "y = Flatten<axis = 2>(x)"),
    "expand-to-a-shape": (
        "x[n,6,4]",
        "m = ReduceMean<axes = [0, 2], keepdims = 1>(x) s = Shape(x) e = Expand(m, s) y = Sub(x, e)",
    ),
    "expand-a-number": (
        "x[n,6,4]",
        "c = Constant<value_float = 0.5>() s = Shape(x) e = Expand(c, s) y = Add(x, e)",
    ),
    "scalar-in-between": (
        "x[n,6,4]",
        "m = ReduceMax<keepdims = 0>(x) e = Sub(x, m) p = Exp(e) t = Tanh(p) q = Sqrt(t) y = Mul(q, m)",
    ),
    "cut-like-another": (
        "x[n,3,h,w]",
        """k = Constant<value_ints = [2, 3]>() z = Constant<value_ints = [0, 0]>() p = MaxPool<kernel_shape = [3, 3]>(x)
           a = Constant<value_ints = [2]>() b = Constant<value_ints = [4]>() o = Constant<value_ints = [0]>()
           s = Shape(p) e = Slice(s, a, b, o) c = Slice(x, z, e, k) y = Sub(c, p)""",
    ),
    "cut-from-an-offset": (
        "x[n,3,h,w]",
        """k = Constant<value_ints = [2, 3]>() z = Constant<value_ints = [1, 2]>() p = MaxPool<kernel_shape = [3, 3]>(x)
           a = Constant<value_ints = [2]>() b = Constant<value_ints = [4]>() o = Constant<value_ints = [0]>()
           s = Shape(p) t = Slice(s, a, b, o) e = Add(t, z) c = Slice(x, z, e, k) y = Sub(c, p)""",
    ),
    "twice-the-size": (
        "x[n,3,h,w]",
        """s = Shape(x) f = Constant<value_ints = [1, 1, 2, 2]>() t = Mul(s, f)
           y = Resize<coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , , t)""",
    ),
    "twice-the-size-linear": (
        "x[n,3,h,w]",
        """s = Shape(x) f = Constant<value_ints = [1, 1, 2, 2]>() t = Mul(s, f)
           y = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(x, , , t)""",
    ),
    "blocks-of-two-sizes": (
        "x[n,3,h,w]",
        """s = Constant<value_floats = [1.0, 1.0, 2.0, 3.0]>()
           y = Resize<coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , s)""",
    ),
    "attention": (
        "x[n,6,4]",
        """p = Transpose<perm = [0, 2, 1]>(x) m = MatMul(x, p) a = Softmax(m) y = MatMul(a, x)""",
    ),
    "where-broadcast": (
        "x[n,6,4]",
        """z = Constant<value_float = 0.0>() m = ReduceMean<axes = [2], keepdims = 1>(x) c = Less(m, z)
           y = Where(c, x, m)""",
    ),
    "places-along-the-batch": (
        "x[n,6]",
        """s = Shape(x) i = Constant<value_int = 0>() n = Gather(s, i) o = Constant<value_int = 1>() r = Range(i, n, o)
           f = Cast<to = 1>(r) a = Constant<value_ints = [1]>() u = Unsqueeze(f, a) y = Add(x, u)""",
    ),
    "greatest-place": ("x[n,6,4]", "p = ArgMax<axis = 1, keepdims = 0>(x) y = Cast<to = 1>(p)"),
    "two-parts": (
        "x[n,6,4]",
        "k = Constant<value_ints = [2, 4]>() a, b = Split<axis = 1>(x, k) c, d = Split<axis = 1>(b) y = Sum(a, c, d)",
    ),
    "ceil-with-a-dropped-window": (
        "x[n,3,6,6]",
        "y = MaxPool<kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1>(x)",
    ),
    "channels-padded": (
        "x[n,3,h,w]",
        """p = Constant<value_ints = [0, 1, 0, 2, 0, 2, 0, 1]>() f = Constant<value_float = 0.5>() a = Pad(x, p, f)
           y = Tanh(a)""",
    ),
    "edges-of-rows": (
        "x[n,6,4]",
        """p = Constant<value_ints = [0, 2, 1, 0, 1, 2]>() a = Pad<mode = "edge">(x, p) b = Pad<mode = "reflect">(x, p)
           y = Sub(a, b)""",
    ),
    "mean-of-many": ("x[n,3,40,40]", "y = GlobalAveragePool(x)"),
}


def conversion_of(name: str, folder: Path, graphs: dict[str, tuple[str, str]] = GRAPHS) -> Conversion:
    """One of the graphs, converted to MXNet."""
    declared, body = graphs[name]
    text = f'<ir_version: 8, opset_import: ["" : 13]> g (float{declared[1:]} x) => (float[] y) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    model.graph.output[0].ClearField("type")
    onnx.save(model, folder / "source.onnx")
    return convert_files("onnx", locate("onnx", folder / "source.onnx"), "mxnet", folder / "target")


@pytest.mark.parametrize("name", GRAPHS)
def test_it_agrees_at_every_batch_and_size(name: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    conversion = conversion_of(name, tmp_path)
    found = verify(conversion)
    assert found.verdict == "agree", found.reasons
    assert found.batches == (1, 2, 3)


LIKE = {
    "the-size-of-another": (
        "x[n,3,h,w]",
        """p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x) s = Shape(x)
           u = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(p, , , s) y = Sub(x, u)""",
    )
}


@pytest.mark.parametrize("shape", [(1, 3, 9, 14), (2, 3, 8, 5)])
def test_a_map_grows_to_the_size_of_another(shape: tuple[int, ...], tmp_path: Path, mxnet_module: ModuleType) -> None:
    """MXNet computes places in float32, hence the tolerance."""
    conversion = conversion_of("the-size-of-another", tmp_path, LIKE)
    assert '"like"' in conversion.files[0].read_text()
    feeds = {"x": random_array(*shape)}
    expected = OnnxOracle(tmp_path / "source.onnx", np.float64).run(feeds)
    with open_target(conversion) as runtime:
        compare("MXNet", runtime.run(feeds).outputs, list(expected.values()), 1e-5)


def test_no_batch_is_written(tmp_path: Path) -> None:
    """The numbers in the symbol do not depend on the batch: the input's first size is 0, which is free."""
    for name in ("flatten-by-shape", "cut-like-another", "expand-to-a-shape"):
        folder = tmp_path / name
        folder.mkdir()
        symbol = json.loads(conversion_of(name, folder).files[0].read_text())
        nodes = {node["name"]: node for node in symbol["nodes"]}
        assert nodes["x"]["attrs"]["__shape__"].startswith("(0, ")
    shape = {node["op"]: node.get("attrs", {}) for node in symbol["nodes"]}
    assert shape["broadcast_like"] == {"lhs_axes": "(0,)", "rhs_axes": "(0,)"}


WITHOUT_FORM = {
    "sizes-swapped": (
        "x[n,3,h,w]",
        """s = Shape(x) i = Constant<value_ints = [0, 1, 3, 2]>() t = Gather(s, i) y = Reshape(x, t)""",
    ),
    "a-quotient": (
        "x[n,3,h,w]",
        """s = Shape(x) d = Constant<value_ints = [1, 1, 2, 2]>() t = Div(s, d)
           z = Constant<value_ints = [0, 0, 0, 0]>() y = Slice(x, z, t)""",
    ),
    "tiled-by-the-batch": (
        "x[n,6]",
        """s = Shape(x) i = Constant<value_ints = [0, 0]>() t = Gather(s, i) y = Tile(x, t)""",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_FORM)
def test_what_mxnet_cannot_do_at_run_time_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"(Reshape|Slice|Tile) '.*(MXNet|no MXNet form)"):
        conversion_of(name, tmp_path, WITHOUT_FORM)
    assert not (tmp_path / "target").exists()
