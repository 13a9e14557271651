"""Every canonical operator over its attributes as a Paddle model: run by Paddle 3.3.1, by the oracle, and read again.

The models are the ONNX models of the other tables, each at the newest opset it is there for. One Paddle process serves
all of them.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.converters.ops.registry import table
from facecvt.converters.writers.to_paddle import write_paddle
from facecvt.parity_tests.support.operator_cases import Case
from facecvt.parity_tests.support.single_op import Sample, onnx_sample, random_array
from facecvt.parity_tests.support.single_op_targets import read_sample
from facecvt.parity_tests.support.single_op_to_paddle import hold_paddle

Maker = Callable[[Path], Sample]


def tables_of(family: str) -> ModuleType:
    """The tables of a family's own tests."""
    path = Path(__file__).with_name(f"test_ops_{family}_targets.py")
    spec = importlib.util.spec_from_file_location(f"tables_of_{family}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


activation, conv, normalization, pool, softmax = map(
    tables_of, ("activation", "conv", "normalization", "pool", "softmax")
)
LISTED = (
    "axes",
    "constants",
    "elementwise",
    "functions",
    "indexing",
    "joining",
    "matmul",
    "padding",
    "reduce",
    "reshape",
    "resize",
    "suppression",
)
OPSET = 21
SEQUENCE, VOLUME = random_array(2, 4, 9), random_array(1, 4, 5, 6, 7)
CENTRES, SCALES = random_array(4, seed=3), random_array(4, seed=4, low=0.5)
# Cases that Paddle cannot express, and part of the message that says so.
REFUSED = {
    r"select_last_index=1": "select_last_index",
    r"mode=cubic": "'cubic'",
    r"antialias=1": "antialias",
    r"Resize-1x2x3x4x5": "3 spatial axes",
    r"nearest.*align_corners,nearest_mode=(ceil|floor)": "other pixels",
    r"nearest.*asymmetric,nearest_mode=(ceil|round_prefer_ceil)": "other pixels",
    r"nearest.*half_pixel,nearest_mode=(ceil|floor)": "other pixels",
    r"Resize-2x3x5x6,mode=nearest$": "batch or channels",
    r"MaxPool-max-dilated": "dilated window",
    r"NonMaxSuppression-": "NonMaxSuppression x1",
    r"Pad-2x3x4x5,mode=edge#2$": "behind the second",
}
# The last step of detectors, which Paddle does not have by itself; it is refused by name.
WITHOUT_PADDLE_FORM = {"NonMaxSuppression"}


def newest(cases: Sequence[Case]) -> list[tuple[str, Maker]]:
    """(operator and text, maker) of the ONNX cases that must work, only the last one of those that differ in opset."""
    found: list[tuple[str, int, Maker]] = []
    for case in cases:
        if case.framework != "onnx" or case.refused is not None:
            continue
        opset, _, text = case.text.partition(",")
        name = f"{case.op}-{text}".replace("[", "(").replace("]", ")")
        if found and found[-1][0] == name and found[-1][1] < int(opset):
            found.pop()
        found.append((name, int(opset), case.make))
    names = [name for name, _, _ in found]
    return [
        (f"{name}#{names[:index].count(name) + 1}" if names.count(name) > 1 else name, make)
        for index, (name, _, make) in enumerate(found)
    ]


def of(
    op: str,
    arrays: Sequence[np.ndarray | None],
    attrs: dict[str, object] | None = None,
    fed: int = 1,
    opset: int = OPSET,
) -> Maker:
    return lambda folder: onnx_sample(folder, op, arrays, attrs, opset=opset, fed=fed)


IMAGE, SLOPE = activation.IMAGE, activation.SLOPE.reshape(4, 1, 1)
KERNEL, DEEP = random_array(6, 4, 3), random_array(6, 4, 2, 3, 2)
DEPTHWISE = random_array(8, 1, 3, 3)
CASES: list[tuple[str, Maker]] = [
    *(entry for family in LISTED for entry in newest(tables_of(family).CASES)),
    *((f"{op}-{name}", of(op, [conv.X, *weights], attrs)) for name, (op, weights, attrs) in conv.ONNX.items()),
    ("Conv-depthwise", of("Conv", [IMAGE, DEPTHWISE], {"group": 4, "pads": [1, 1, 1, 1]})),
    ("Conv-computed", of("Conv", [conv.X, conv.W], {"pads": [1, 1, 0, 0]}, fed=2)),
    ("Conv-sequence", of("Conv", [SEQUENCE, KERNEL, random_array(6)], {"pads": [0, 2], "strides": [2]})),
    ("Conv-volume", of("Conv", [VOLUME, DEEP], {"pads": [1, 0, 1, 0, 1, 1]})),
    ("ConvTranspose-sequence", of("ConvTranspose", [SEQUENCE, random_array(4, 2, 3)], {"strides": [2]})),
    ("ConvTranspose-volume", of("ConvTranspose", [VOLUME, random_array(4, 2, 2, 3, 2)], {"strides": [2, 1, 2]})),
    *((f"{op}-{name}", of(op, [pool.X], attrs)) for name, (op, attrs) in (pool.ONNX | pool.ONNX_FROM_10).items()),
    *(
        (
            f"{op}-{name}",
            of(op, [data], {"kernel_shape": [3] * count, "pads": [1] * 2 * count} if "Global" not in op else {}),
        )
        for op in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
        for name, data, count in (("sequence", SEQUENCE, 1), ("volume", VOLUME, 3))
    ),
    *((name, of(op, [activation.X], attrs, opset=opsets[-1])) for name, (op, opsets, attrs) in activation.ONNX.items()),
    *(
        (f"Clip-{name}", of("Clip", [activation.X, *bounds], fed=fed))
        for name, bounds, fed in (
            ("above", [activation.LOW], 1),
            ("below", [None, activation.HIGH], 1),
            ("crossed", [activation.HIGH, activation.LOW], 1),
            ("computed", [activation.LOW, activation.HIGH], 3),
        )
    ),
    *((f"PRelu-{name}", of("PRelu", [data, slope])) for name, (data, slope, _) in activation.ONNX_PRELU.items()),
    ("PRelu-computed", of("PRelu", [IMAGE, SLOPE], fed=2)),
    *(
        (f"{op}-{name}", of(op, [data, *weights], attrs, opset=opsets[-1]))
        for name, (op, opsets, data, weights, attrs) in normalization.ONNX.items()
    ),
    ("BatchNormalization-eps", of("BatchNormalization", [IMAGE, CENTRES, CENTRES, CENTRES, SCALES], {"epsilon": 0.01})),
    *(
        (f"{op}-{name}", of(op, [data], attrs))
        for op in ("Softmax", "LogSoftmax")
        for name, (data, attrs) in softmax.ONNX.items()
    ),
    ("Where-wide", of("Where", [IMAGE[:, :1] > 0, IMAGE[:1], np.float32([[np.inf], [np.nan], [1]])], fed=2)),
]


def refusal(name: str) -> str | None:
    return next((message for pattern, message in REFUSED.items() if re.search(pattern, name)), None)


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda index: CASES[index][0])
def test_paddle_computes_the_same(index: int, tmp_path: Path) -> None:
    name, make = CASES[index]
    sample, message = make(tmp_path), refusal(name)
    graph = read_sample(sample)
    if message is not None:
        with pytest.raises(ConversionError, match=message):
            write_paddle(graph, tmp_path / "paddle")
        assert not (tmp_path / "paddle").exists()
        return
    hold_paddle(graph, sample, tmp_path)


def test_every_operator_has_a_case() -> None:
    """Identity is only there where an output repeats another value; the writer's tests have it."""
    assert set(table("to_paddle")) - {name.partition("-")[0] for name, _ in CASES} == {"Identity"}
    assert set(table("to_torch")) - set(table("to_paddle")) <= WITHOUT_PADDLE_FORM


def test_every_refusal_is_met() -> None:
    met = {pattern for name, _ in CASES for pattern in REFUSED if re.search(pattern, name)}
    assert met == set(REFUSED)
