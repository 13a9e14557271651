"""MXNet as facecvt imports it: inner values can be bound as a group, and nothing is fused."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

CODE = """
import hashlib
import numpy as np
from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet()
value = mx.sym.Variable("data")
for layer in range(2):
    value = mx.sym.Convolution(value, kernel=(3, 3), num_filter=8, pad=(1, 1), name=f"conv{layer}")
    value = mx.sym.BatchNorm(value, fix_gamma=False, eps=2e-5, name=f"bn{layer}")
    value = mx.sym.Activation(value, act_type="relu", name=f"relu{layer}")
value = mx.sym.FullyConnected(value, num_hidden=4, name="fc")
group = mx.sym.Group([each for each in value.get_internals() if each.list_outputs()[0].endswith("_output")])
random = np.random.RandomState(0)
shapes, _, extents = group.infer_shape(data=(2, 3, 9, 9))
args = {n: mx.nd.array(random.uniform(-1, 1, s)) for n, s in zip(group.list_arguments(), shapes)}
aux = {n: mx.nd.array(random.uniform(1, 2, s)) for n, s in zip(group.list_auxiliary_states(), extents)}
outputs = group.bind(mx.cpu(), args, grad_req="null", aux_states=aux).forward()
print(len(outputs), hashlib.sha256(b"".join(each.asnumpy().tobytes() for each in outputs)).hexdigest())
"""


def told(**variables: str) -> tuple[str, str]:
    """What the program prints, and what is on stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MXNET_")} | variables
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout, done.stderr


def test_nothing_is_fused(mxnet_module: ModuleType) -> None:
    printed, said = told()
    assert printed.startswith("7 ")
    assert "subgraph backend is not in use" in said
    others, said = told(MXNET_SUBGRAPH_BACKEND="default")
    assert others == printed, "the same bits as with a backend that has nothing to fuse"
    assert "not in use" not in said, "what is set already stays as it is"
