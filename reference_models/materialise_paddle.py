"""Writes one reference model with Paddle; run by materialise.py in a process of its own.

    FLAGS_enable_pir_api=0 python -m facecvt.reference_models.materialise_paddle iresnet50 FOLDER --seed=0

With the flag at 0 Paddle 3 writes ``inference.pdmodel``, at 1 ``inference.json``; ``inference.pdiparams`` is the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import paddle

from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.spec import ArchitectureSpec, architectures, families


def save(architecture: ArchitectureSpec, folder: Path, seed: int) -> None:
    """Trace the net with a free batch dimension and save program and parameters under ``inference``."""
    net = families()[architecture.family].build(architecture, "paddle")
    missing, unexpected = net.set_state_dict(seeded_state(architecture, "paddle", seed))
    if missing or unexpected:
        raise RuntimeError(f"the net lacks {unexpected[:5]} and has besides {missing[:5]}")
    net.eval()
    contract = architecture.contracts["paddle"]
    shape = [size if isinstance(size, int) else None for size in contract.shape]
    traced = paddle.jit.to_static(
        net, input_spec=[paddle.static.InputSpec(shape, contract.dtype, contract.name)], full_graph=True
    )
    paddle.jit.save(traced, str(folder / "inference"))


def main() -> None:
    """Parse the command line that materialise.py builds and save the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", type=json.loads, default={}, help="the architecture's, as a JSON object")
    given = parser.parse_args()
    save(architectures()[given.name].with_options(**given.options), given.folder, given.seed)


if __name__ == "__main__":
    main()
