"""Writes one reference model with Paddle; run by materialise.py in a process of its own.

    FLAGS_enable_pir_api=0 python -m facecvt.reference_models.materialise_paddle iresnet50 FOLDER --seed=0

With the flag at 0 Paddle 3 writes ``inference.pdmodel``, at 1 ``inference.json``; ``inference.pdiparams`` is the same.
Some functions of Paddle 3.3 fail while a ``.pdmodel`` is traced, because they are there for PIR alone; for that dialect
they are replaced in this process by the operator that older versions of Paddle wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle

from facecvt import reference_models
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.spec import ArchitectureSpec, architectures, families

# functions of paddle.nn.functional that a .pdmodel cannot be traced through
PIR_ONLY = ("sigmoid", "tanh", "softplus")


def legacy_function(operator: str) -> Callable[..., Any]:
    """A function of one tensor that appends this operator to a legacy program, and gives a tensor of the same shape.

    Its other arguments are the operator's attributes, which the nets leave at their defaults.
    """

    def append(x: Any, *attributes: Any, name: str | None = None) -> Any:
        helper = paddle.base.layer_helper.LayerHelper(operator, name=name)
        out = helper.create_variable_for_type_inference(x.dtype)
        helper.append_op(type=operator, inputs={"X": x}, outputs={"Out": out})
        return out

    return append


def save(architecture: ArchitectureSpec, folder: Path, seed: int) -> None:
    """Trace the net with a free batch dimension and save program and parameters under ``inference``.

    Height and width are free as well where the net takes any.
    """
    save_net(net_with(architecture, seeded_state(architecture, "paddle", seed)), architecture, folder)


def net_with(architecture: ArchitectureSpec, state: Mapping[str, Any]) -> Any:
    """The net with these weights, in inference mode; none is drawn only to be overwritten.

    Args:
        architecture: which.
        state: arrays by Paddle's names.

    Raises:
        ValueError: a weight is missing or too many.
    """
    zero = paddle.nn.initializer.Constant(0.0)
    paddle.nn.initializer.set_global_initializer(zero, zero)
    try:
        net = families()[architecture.family].build(architecture, "paddle")
    finally:
        paddle.nn.initializer.set_global_initializer(None, None)
    missing, unexpected = net.set_state_dict(dict(state))
    if missing or unexpected:
        raise ValueError(f"the net lacks {unexpected[:5]} and has besides {missing[:5]}")
    net.eval()
    return net


def save_net(net: Any, architecture: ArchitectureSpec, folder: Path) -> None:
    """Trace and save a net that is in inference mode; see :func:`save`.

    No net branches on what it computes, so its code and Paddle's layers need not be rewritten before they are traced:
    the files are the same, in a third of the time.
    """
    paddle.jit.ignore_module([reference_models, paddle.nn])
    if not paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]:
        for name in PIR_ONLY:
            setattr(paddle.nn.functional, name, legacy_function(name))
    contract = architecture.contracts["paddle"]
    shape = [size if isinstance(size, int) else None for size in contract.shape]
    if architecture.any_size:
        shape[2:] = None, None
    traced = paddle.jit.to_static(
        net, input_spec=[paddle.static.InputSpec(shape, contract.dtype, contract.name)], full_graph=True
    )
    with without_call_stacks():
        paddle.jit.save(traced, str(folder / "inference"))


@contextmanager
def without_call_stacks() -> Iterator[None]:
    """Paddle takes down for every operator where in Python it was made, and never frees it: 90,000 objects a deep net.

    They are no part of the files. How far such a list goes, Python's own limit says.
    """
    limit = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 0
    try:
        yield
    finally:
        if limit is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = limit


def options_of(text: str) -> dict[str, Any]:
    """An architecture's options from JSON, which has lists where options are tuples."""
    options: dict[str, Any] = {name: as_tuples(value) for name, value in json.loads(text).items()}
    return options


def as_tuples(value: Any) -> Any:
    """Lists, and the lists in them, as tuples; anything else as it is."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def main() -> None:
    """Parse the command line that materialise.py builds and save the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", type=options_of, default={}, help="the architecture's, as a JSON object")
    given = parser.parse_args()
    save(architectures()[given.name].with_options(**given.options), given.folder, given.seed)


if __name__ == "__main__":
    main()
