"""Every MXNet operator of the oracle against MXNet 1.9.1 itself, over its attributes.

Each case is one node, written as a symbol file would hold it. MXNet runs it in float64 where its operator has that
kernel, else in float32; the error allowed is the rounding of that type.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError, ConversionError, UnsupportedOperatorsError, UsageError
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import MxnetNode, MxnetSymbol
from facecvt.parity_tests.oracle.mxnet_attributes import MXNET_OPERATORS
from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle
from facecvt.parity_tests.support.mxnet_case import Case
from facecvt.parity_tests.support.mxnet_cases import CASES

AUX = {"moving_mean", "moving_var"}


# Registered, but MXNet's CPU build has no such operator to compare with; each shares its definition with one above.
WITHOUT_MXNET = {"CuDNNBatchNorm": "BatchNorm", "SyncBatchNorm": "_contrib_SyncBatchNorm"}


def operand_arrays(case: Case) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    arrays = {}
    for name, shape in case.operands.items():
        low, high = (0.25, 2.0) if name in ("moving_var", "gamma") else case.values
        array = rng.uniform(low, high, shape)
        if name in case.integers or name == "label":
            array = rng.integers(-6, 7, shape) / 2 if case.halved else rng.integers(0, 3, shape)
        arrays[name] = array.astype(np.float32).astype(np.float64)
    return arrays


def symbol_of(case: Case) -> tuple[MxnetSymbol, str]:
    """The case as the oracle's record and as the text that MXNet loads."""
    nodes = [MxnetNode("null", name, []) for name in case.operands]
    attrs = {key: str(value) for key, value in case.attrs.items()}
    nodes.append(MxnetNode(case.op, "node", [(index, 0) for index in range(len(nodes))], attrs))
    heads = [(len(nodes) - 1, output) for output in range(case.outputs)]
    text = {
        "nodes": [
            {"op": n.op, "name": n.name, "attrs": n.attrs, "inputs": [[i, o, 0] for i, o in n.inputs]} for n in nodes
        ],
        "arg_nodes": list(range(len(nodes) - 1)),
        "heads": [[node, output, 0] for node, output in heads],
        "attrs": {"mxnet_version": ["int", 10901]},
    }
    return MxnetSymbol(nodes, heads, 10901, Path("case-symbol.json")), json.dumps(text)


def run_mxnet(
    mx, case: Case, text: str, arrays: dict[str, np.ndarray], dtype: str
) -> tuple[list[str], list[np.ndarray]]:
    symbol = mx.sym.load_json(text.replace("2L", "2").replace('"stride": "(0, 0)", ', ""))  # 1.9.1 reads neither
    held = {name: mx.nd.array(array, dtype="int32" if name in case.whole else dtype) for name, array in arrays.items()}
    executor = symbol.bind(
        mx.cpu(),
        {name: array for name, array in held.items() if name not in AUX},
        aux_states={name: array for name, array in held.items() if name in AUX},
    )
    return symbol.list_outputs(), [output.asnumpy() for output in executor.forward(is_train=False)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator_agrees_with_mxnet(case: Case, mxnet_module) -> None:
    arrays = operand_arrays(case)
    symbol, text = symbol_of(case)
    constants = {name: array for name, array in arrays.items() if name != "data"}
    model = MxnetModel(symbol, {k: v for k, v in constants.items() if k not in AUX},
                       {k: v for k, v in constants.items() if k in AUX}, "case", ())  # fmt: skip
    oracle = MxnetOracle(model)
    dtype = "float32" if case.single else "float64"
    names, expected = run_mxnet(mxnet_module, case, text, arrays, dtype)
    reported: dict[str, np.ndarray] = {}
    result = oracle.run({"data": arrays["data"]} if "data" in arrays else {}, on_value=reported.__setitem__)
    assert oracle.output_names == names
    assert set(names) <= set(oracle.layer_names)
    assert list(reported) == oracle.layer_names[: len(reported)]
    for name, wanted in zip(names, expected, strict=True):
        assert result[name].shape == wanted.shape
        scale = max(float(np.abs(wanted).max(initial=0)), 1e-3)
        # Attributes such as eps and slope are float32 inside MXNet even where the data is float64.
        assert float(np.abs(result[name] - wanted).max(initial=0)) <= (1e-5 if case.single else 1e-7) * scale
    # The same code in float32 stays in float32, else it is no clean variant.
    single = MxnetOracle(model, np.float32).run({"data": arrays["data"]} if "data" in arrays else {})
    for name, exact in result.items():
        assert single[name].dtype == (np.float32 if exact.dtype == np.float64 else exact.dtype)
        assert np.abs(single[name] - exact).max(initial=0) <= 1e-4 * max(np.abs(exact).max(initial=0), 1e-3)


def test_every_registered_operator_has_a_case() -> None:
    held = {case.op for case in CASES}
    assert set(MXNET_OPERATORS.names()) - held == set(WITHOUT_MXNET)
    assert set(WITHOUT_MXNET.values()) <= held
    for name, twin in WITHOUT_MXNET.items():
        assert MXNET_OPERATORS.get(name) is MXNET_OPERATORS.get(twin)


def tiny_model(op: str, attrs: dict[str, str]) -> MxnetModel:
    nodes = [
        MxnetNode("null", "data", []),
        MxnetNode(op, "first", [(0, 0)], attrs),
        MxnetNode(op, "second", [(1, 0)], attrs),
    ]
    return MxnetModel(MxnetSymbol(nodes, [(2, 0)], 10901, Path("tiny-symbol.json")), {}, {}, "tiny", ())


def test_unknown_operators_are_all_named() -> None:
    with pytest.raises(UnsupportedOperatorsError, match=r"Correlation x2: first, second"):
        MxnetOracle(tiny_model("Correlation", {}))


@pytest.mark.parametrize(
    ("op", "attrs", "words"),
    [
        ("Activation", {"act_type": "relu", "shift": "1"}, "first.*shift='1'"),
        ("Activation", {"act_type": "swish"}, "act_type = 'swish'"),
        ("BatchNorm", {"fix_gamma": "yes"}, "fix_gamma = 'yes'.*True, False"),
        ("Dropout", {"mode": "always"}, "mode = 'always'"),
        ("Convolution", {"kernel": "(3, 3)", "num_filter": "4", "layout": "NHWC"}, "layout = 'NHWC'"),
    ],
)
def test_attributes_that_would_matter_are_refused(op: str, attrs: dict[str, str], words: str) -> None:
    with pytest.raises(AttributeValueError, match=words):
        MxnetOracle(tiny_model(op, attrs))


def test_performance_hints_are_ignored() -> None:
    hints = {"act_type": "relu", "mkldnn_off": "1", "cudnn_off": "True", "workspace": "512", "cudnn_tune": "off"}
    oracle = MxnetOracle(tiny_model("Activation", hints))
    assert oracle.run({"data": np.array([[-1.0, 2.0]])})["second_output"].tolist() == [[0.0, 2.0]]


def test_feeds_must_fit_the_inputs() -> None:
    oracle = MxnetOracle(tiny_model("relu", {}))
    assert oracle.input_names == ["data"]
    with pytest.raises(UsageError, match=r"missing \['data'\], unknown \['image'\]"):
        oracle.run({"image": np.zeros((1, 2))})


def test_a_failing_node_is_named() -> None:
    oracle = MxnetOracle(tiny_model("expand_dims", {"axis": "7"}))
    with pytest.raises(ConversionError, match=r"tiny-symbol.json: expand_dims first.*\[\(1, 2\)\]"):
        oracle.run({"data": np.zeros((1, 2))})


def test_values_are_freed_and_outputs_are_the_callers_own() -> None:
    oracle = MxnetOracle(tiny_model("identity", {}))
    fed = np.zeros((1, 2))
    seen: list[bool] = []
    result = oracle.run({"data": fed}, on_value=lambda name, value: seen.append(value.flags.writeable))
    result["second_output"][...] = 1
    assert seen == [False, False]
    assert fed.sum() == 0


def test_float32_is_the_same_code_in_single_precision() -> None:
    model = tiny_model("tanh", {})
    x = np.linspace(-2, 2, 50).reshape(5, 10)
    single = MxnetOracle(model, np.float32).run({"data": x})["second_output"]
    double = MxnetOracle(model).run({"data": x})["second_output"]
    assert single.dtype == np.float32
    assert 0 < np.abs(single - double).max() < 2e-7
