"""MXNet's prior boxes against both targets, at a known size of the map and at a free one."""

import pytest

from facecvt.parity_tests.support.operator_cases import Case, mxnet, spread, uncovered
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

WIDE, TALL = random_array(2, 3, 2, 4), random_array(1, 3, 5, 3)
PRIOR = "_contrib_MultiBoxPrior"

CASES: list[Case] = [
    *mxnet(PRIOR, WIDE),
    *mxnet(PRIOR, TALL, sizes="(0.3, 0.6)", ratios=(1, 2, 0.5)),
    *mxnet(PRIOR, WIDE, sizes="(0.4,0.8)", ratios="(2,0.5)", clip=True),
    *mxnet(PRIOR, WIDE, steps="(0.4, 0.3)", offsets="(0.25, 0.75)", sizes="(0.5,)"),
    *mxnet(PRIOR, WIDE, steps="(-1, -1)", clip=0),
]
FREE = CASES[1:4]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_priors_of_a_known_map(case, tmp_path):
    graph = case.hold(tmp_path)
    assert [node.op_type for node in graph.body] == ["Identity"]


@pytest.mark.parametrize("case", FREE, ids=str)
def test_priors_of_a_free_map(case, tmp_path):
    sample = case.make(tmp_path)
    graph = hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), opsets=(11, 17))
    assert "Shape" in {node.op_type for node in graph.body}


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["multibox"]) == {}
