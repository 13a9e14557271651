"""``facecvt diff`` on random small nets: spelling never matters, other weights are another model, no vacuous pass.

A net is a random chain of blocks (convolution with or without bias, depthwise or not, BatchNormalization, PRelu or
Relu, a residual) before a pool, a matrix product and a BatchNormalization, with random weights.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.support.small_net import SIZE, Node, SmallNet, fold

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BLOCKS = st.lists(
    st.tuples(
        st.sampled_from(["conv", "conv without bias", "depthwise"]),
        st.sampled_from(["PRelu", "Relu", "none"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
NETS = st.tuples(BLOCKS, st.integers(0, 2**31 - 2), st.sampled_from([4, 6]))
Recipe = tuple[list[tuple[str, str, bool]], int, int]


def built(recipe: Recipe, more: int = 0) -> tuple[SmallNet, list[tuple[str, str]]]:
    """The net of a recipe, with ``more`` of another seed; and its layers with the BatchNormalization behind each."""
    blocks, seed, width = recipe
    net, random, pairs = SmallNet(), np.random.RandomState(seed + more), []

    def norm(name: str, read: str, channels: int) -> str:
        for part, array in (
            ("gamma", random.uniform(0.5, 1.5, channels)),
            ("beta", random.standard_normal(channels) * 0.3),
            ("mean", random.standard_normal(channels) * 0.3),
            ("var", random.uniform(0.2, 1.5, channels)),
        ):
            net.weights[f"{name}_{part}"] = array.astype(np.float32)
        weights = [f"{name}_{part}" for part in ("gamma", "beta", "mean", "var")]
        net.nodes.append(Node("BatchNormalization", [read, *weights], name, {"epsilon": 2e-5}))
        return name

    value = "data"
    for place, (kind, activation, residual) in enumerate(blocks):
        inputs = 3 if place == 0 else width
        group = width if kind == "depthwise" and place else 1
        conv, before = f"conv{place}", value
        kernel = random.standard_normal((width, inputs // group, 3, 3)) * np.sqrt(2.0 / (inputs // group * 9))
        net.weights[f"{conv}_w"] = kernel.astype(np.float32)
        read = [value, f"{conv}_w"]
        if kind != "conv without bias":
            net.weights[f"{conv}_b"] = (random.standard_normal(width) * 0.3).astype(np.float32)
            read.append(f"{conv}_b")
        attributes = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1 if place else 2] * 2, "group": group}
        net.nodes.append(Node("Conv", read, conv, attributes))
        value = norm(f"norm{place}", conv, width)
        if len(read) == 3:
            pairs.append((conv, value))
        if activation == "PRelu":
            net.weights[f"slope{place}"] = random.uniform(0.1, 0.4, (width, 1, 1)).astype(np.float32)
            net.nodes.append(Node("PRelu", [value, f"slope{place}"], f"act{place}"))
        elif activation == "Relu":
            net.nodes.append(Node("Relu", [value], f"act{place}"))
        value = value if activation == "none" else f"act{place}"
        if residual and place:
            net.nodes.append(Node("Add", [value, before], f"sum{place}"))
            value = f"sum{place}"
    net.nodes.append(Node("AveragePool", [value], "pool", {"kernel_shape": [2, 2], "strides": [2, 2]}))
    net.nodes.append(Node("Flatten", ["pool"], "flat", {"axis": 1}))
    features = width * (SIZE // 4) ** 2
    net.weights["fc_w"] = (random.standard_normal((16, features)) / np.sqrt(features)).astype(np.float32)
    net.weights["fc_b"] = random.standard_normal(16).astype(np.float32)
    net.nodes.append(Node("Gemm", ["flat", "fc_w", "fc_b"], "fc", {"transB": 1}))
    norm("embedding", "fc", 16)
    return net, [*pairs, ("fc", "embedding")]


def kernels_as_nhwc(net: SmallNet) -> None:
    """Every kernel stored channels last, and transposed before it is used."""
    for node in [node for node in net.nodes if node.op == "Conv"]:
        name = node.inputs[1]
        net.weights[name] = np.ascontiguousarray(net.weights[name].transpose(0, 2, 3, 1))
        node.inputs[1] = f"{name}_nchw"
        net.nodes.insert(net.nodes.index(node), Node("Transpose", [name], f"{name}_nchw", {"perm": [0, 3, 1, 2]}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


@given(recipe=NETS, folded=st.sets(st.integers(0, 4)), channels_last=st.booleans(), swapped=st.booleans())
@FEW
def test_another_spelling_agrees(
    folder: Path, recipe: Recipe, folded: set[int], channels_last: bool, swapped: bool
) -> None:
    """Other names, kernels in NHWC, BatchNormalizations folded: all of it is compared, and within its floors."""
    one, pairs = built(recipe)
    other, _ = built(recipe)
    for place, (conv, norm) in enumerate(pairs):
        if place in folded:
            fold(other, conv, norm)
    if channels_last:
        kernels_as_nhwc(other)
    other = other.renamed(lambda name: f"v{zlib.crc32(name.encode())}")
    paths = one.write(folder / "a.onnx"), other.write(folder / "b.onnx")
    found = diff(*(paths[::-1] if swapped else paths))
    assert found.verdict == "agree", found.verification.reasons
    assert found.verification.coverage.parametric == found.verification.coverage.taps == 1.0
    assert not found.verification.unmapped


@given(recipe=NETS)
@FEW
def test_other_weights_are_another_model(folder: Path, recipe: Recipe) -> None:
    one, other = built(recipe)[0], built(recipe, more=1)[0]
    found = diff(one.write(folder / "c.onnx"), other.write(folder / "d.onnx"))
    assert (found.verdict, found.exit_code) == ("not_comparable", 5)
    assert not found.verification.layers
    assert not found


SPOILED = ["NaN", "Inf", "constant", "missing output", "no layer left"]


@given(recipe=NETS, how=st.sampled_from(SPOILED), both=st.booleans(), place=st.integers(0, 15))
@settings(FEW, max_examples=30)
def test_nothing_agrees_for_want_of_evidence(folder: Path, recipe: Recipe, how: str, both: bool, place: int) -> None:
    """NaN, Inf, a constant output, an output without partner, no tap: in one model or in both, never "agree"."""
    one, other = built(recipe)[0], built(recipe)[0]
    for net in (one, other) if both else (other,):
        if how in ("NaN", "Inf"):
            net.weights["fc_b"][place] = np.nan if how == "NaN" else np.inf
        elif how == "constant":
            net.weights["embedding_gamma"] = np.zeros_like(net.weights["embedding_gamma"])
            net.weights["embedding_beta"] = np.full_like(net.weights["embedding_beta"], 0.5)
        elif how == "missing output":
            net.outputs = ["embedding", "fc"] if net is other else ["embedding"]
        else:
            net.nodes = [Node("Relu", ["data"], "half"), Node("Sigmoid", ["half"], "embedding")]
            net.weights = {}
    found = diff(one.write(folder / "e.onnx"), other.write(folder / "f.onnx"))
    assert found.verdict in ("differ", "not_comparable")
    assert found.exit_code in (1, 5)
    assert not found
    assert found.verification.reasons
