"""Models that differ in spelling alone are aligned and agree; models that share no weights never are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.diff.difference import Difference
from facecvt.parity_tests.diff.model import open_side
from facecvt.parity_tests.diff.provenance import EXCHANGED, Provenance, trace
from facecvt.parity_tests.support.small_net import Node, SmallNet, fold, small_net

FOLDABLE = [("conv0", "bn0"), ("conv1", "bn2"), ("conv2", "bn3"), ("conv3", "bn4"), ("fc", "embedding")]


def traced(folder: Path, one: SmallNet, other: SmallNet) -> Provenance:
    """The alignment of two nets."""
    with open_side(one.write(folder / "a.onnx")) as a, open_side(other.write(folder / "b.onnx")) as b:
        return trace(a.graph, b.graph)


def held(folder: Path, one: SmallNet, other: SmallNet, **options: object) -> Difference:
    """The difference of two nets."""
    return diff(one.write(folder / "a.onnx"), other.write(folder / "b.onnx"), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


@given(seed=st.integers(0, 2**31), width=st.sampled_from([4, 8, 12]), salt=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_names_say_nothing(folder: Path, seed: int, width: int, salt: int) -> None:
    """Every name another, some of them those of other layers: each value finds itself."""
    net = small_net(seed, width)
    names = [*net.weights, *(node.output for node in net.nodes)]
    shuffled = dict(zip(names, np.random.RandomState(salt).permutation(names), strict=True))
    kept = set(net.outputs)
    shuffled = {name: f"x_{new}" if new in kept else str(new) for name, new in shuffled.items()}
    found = traced(folder, net, net.renamed(shuffled.__getitem__))
    expected = {node.output: shuffled[node.output] for node in net.nodes if node.output not in kept}
    assert found.taps == {**expected, "embedding": "embedding"}
    assert found.anchors == 5
    assert not found.unmapped_a
    assert not found.unmapped_b


@given(seed=st.integers(0, 2**31), which=st.sets(st.sampled_from(FOLDABLE), min_size=1), b_is_folded=st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_folded_norm_is_the_end_of_its_layer(
    folder: Path, seed: int, which: set[tuple[str, str]], b_is_folded: bool
) -> None:
    whole, folded = small_net(seed), small_net(seed)
    for conv, norm in which:
        fold(folded, conv, norm)
    pair = (whole, folded) if b_is_folded else (folded, whole)
    found = traced(folder, *pair)
    gone = {conv for conv, _ in which}
    assert found.taps == {node.output: node.output for node in whole.nodes if node.output not in gone}
    assert found.absorbed == (dict(which) if b_is_folded else {})
    assert not found.unmapped_a
    assert not found.unmapped_b


def test_folded_norms_agree(folder: Path) -> None:
    """The same in numbers: everything but the values that no longer exist is compared, and is within its floor."""
    folded = small_net(3)
    for conv, norm in FOLDABLE:
        fold(folded, conv, norm)
    found = held(folder, small_net(3), folded, isolate=True)
    assert found.verdict == "agree", found.verification.reasons
    assert found.verification.coverage.parametric == 1.0
    assert found.verification.layers_compared == len(folded.nodes)
    assert len(found.own) == len(folded.nodes)
    assert max(metrics.rel_rmse for metrics in found.own.values()) < 2e-6


@given(seed=st.integers(0, 2**31), chosen=st.sets(st.sampled_from(["conv0", "conv1", "conv2", "conv3"]), min_size=1))
@settings(max_examples=10, deadline=None)
def test_kernels_stored_as_nhwc_are_the_same_kernels(folder: Path, seed: int, chosen: set[str]) -> None:
    other = small_net(seed)
    for name in chosen:
        place = other.nodes.index(other.node(name))
        other.weights[f"{name}_w"] = np.ascontiguousarray(other.weights[f"{name}_w"].transpose(0, 2, 3, 1))
        other.nodes[place].inputs[1] = f"{name}_w_nchw"
        other.nodes.insert(place, Node("Transpose", [f"{name}_w"], f"{name}_w_nchw", {"perm": [0, 3, 1, 2]}))
    found = traced(folder, small_net(seed), other)
    assert found.taps == {node.output: node.output for node in small_net(seed).nodes}
    assert found.anchors == 5


def test_a_whole_net_in_nhwc_agrees(folder: Path) -> None:
    """Convolutions between two transpositions, as exporters of channels-last frameworks write them."""
    other = small_net(5)
    for name in ("conv1", "conv3"):
        place = other.nodes.index(other.node(name))
        read = other.nodes[place].inputs[0]
        other.nodes.insert(place, Node("Transpose", [f"{name}_nhwc"], f"{name}_nchw", {"perm": [0, 3, 1, 2]}))
        other.nodes.insert(place, Node("Transpose", [read], f"{name}_nhwc", {"perm": [0, 2, 3, 1]}))
        other.node(name).inputs[0] = f"{name}_nchw"
    found = held(folder, small_net(5), other)
    assert found.verdict == "agree", found.verification.reasons
    assert found.verification.coverage.taps == 1.0


@given(seeds=st.lists(st.integers(0, 2**31), min_size=2, max_size=2, unique=True))
@settings(max_examples=10, deadline=None)
def test_no_shared_weights_is_not_comparable(folder: Path, seeds: list[int]) -> None:
    """One architecture with other weights is another model; nothing of it is compared."""
    found = held(folder, small_net(seeds[0]), small_net(seeds[1]))
    assert (found.verdict, found.exit_code) == ("not_comparable", 5)
    assert not found.verification.layers
    assert not found


@pytest.mark.parametrize("whole_is_a", [True, False])
def test_hard_swish_in_two_steps_agrees(folder: Path, whole_is_a: bool) -> None:
    """As it is written for opsets below 14: x * HardSigmoid(x); the product is the layer, not the gate."""
    whole, parts = small_net(4), small_net(4)
    whole.nodes[whole.nodes.index(whole.node("act2"))] = Node("HardSwish", ["bn4"], "act2")
    place = parts.nodes.index(parts.node("act2"))
    slope = {"alpha": 1 / 6, "beta": 0.5}
    parts.nodes[place : place + 1] = [
        Node("HardSigmoid", ["bn4"], "gate", slope),
        Node("Mul", ["bn4", "gate"], "act2"),
    ]
    found = held(folder, *((whole, parts) if whole_is_a else (parts, whole)))
    assert found.verdict == "agree", found.verification.reasons
    assert found.how["act2"] == "data flow"
    assert not found.unmapped_b
    assert not found.verification.unmapped


def test_exchanged_weights_are_told_from_exchanged_layers(folder: Path) -> None:
    other = small_net()
    other.weights["conv1_w"], other.weights["conv2_w"] = other.weights["conv2_w"], other.weights["conv1_w"]
    found = traced(folder, small_net(), other)
    assert found.taps == {node.output: node.output for node in other.nodes}
    assert {match.a for match in found.matches if match.how == EXCHANGED} == {"conv1", "conv2"}


def test_what_is_ambiguous_is_unmapped(folder: Path) -> None:
    """Two branches of no weights that nothing tells apart: neither is guessed."""
    net = small_net()
    for name in ("left", "right"):
        net.nodes.append(Node("Relu", ["act2"], name))
    net.outputs += ["left", "right"]
    renamed = net.renamed(lambda name: f"x_{name}")
    found = traced(folder, net, renamed)
    assert set(found.unmapped_a) == {"left", "right"}
    assert set(found.unmapped_b) == {"left", "right"}


def with_boxes(*steps: Node) -> SmallNet:
    """The net with a second output that some steps make of ``act2``, (batch, 8, 8, 8)."""
    net = small_net()
    net.weights |= {"four": np.array([0, -1, 4]), "eight": np.array([0, 2, 4, 64])}
    net.nodes.extend(steps)
    net.outputs.append("boxes")
    return net


BOXES = with_boxes(
    Node("Transpose", ["act2"], "last", {"perm": [0, 2, 3, 1]}),
    Node("Reshape", ["last", "four"], "boxes"),
)


def test_a_step_that_is_left_out_is_stepped_over(folder: Path) -> None:
    """What BlazeFace's heads end in, without the transposition: no weights follow that would tell what is what."""
    found = held(folder, BOXES, with_boxes(Node("Reshape", ["act2", "four"], "boxes")))
    assert found.verdict == "differ"
    assert found.how["boxes"] == "data flow"
    assert [value.value for value in found.verification.unmapped] == ["last"]
    assert not found.unmapped_b
    assert found.cause is not None
    assert (found.cause.name, found.cause.step) == ("left out: last", "last")
    assert found.cause.before > 0.5
    assert found.cause.after == 0.0


def test_a_step_in_another_place_is_not_left_out(folder: Path) -> None:
    """The same numbers by a reshape, a transposition, a reshape: the first of these is not the last of the others."""
    other = with_boxes(
        Node("Reshape", ["act2", "eight"], "apart"),
        Node("Transpose", ["apart"], "turned", {"perm": [0, 3, 1, 2]}),
        Node("Reshape", ["turned", "four"], "boxes"),
    )
    found = held(folder, BOXES, other)
    assert found.verdict == "agree", found.verification.reasons
    assert "boxes" not in found.how
