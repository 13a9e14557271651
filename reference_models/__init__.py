"""The architectures that facecvt vouches for, each written by hand in PyTorch, PaddlePaddle and MXNet.

    names()                      all of them
    resolve("LResNet50E-IR")     what a name that somebody typed stands for
    spec("r50")                  what the architecture declares: source, input contract, stages, layers
    build("r50", "torch")        the net, weights as initialised

    head_names()                                    margin heads for training; an upstream's names resolve as well
    build_head("arcface", "torch", embedding_size=512, classes=85742)

Importing this package imports no framework; ``build`` imports the one it is asked for.
"""

from __future__ import annotations

from typing import Any

# Imported before the function of that name is defined: the import of a submodule sets it as the package's attribute,
# once, and the function has to have the last word.
from facecvt.reference_models.frameworks import require
from facecvt.reference_models.heads.spec import HEADS, HeadSpec, resolve_head
from facecvt.reference_models.heads.spec import build as build_head_net
from facecvt.reference_models.spec import (
    ArchitectureSpec,
    Resolved,
    architectures,
    families,
    known_framework,
    resolve_name,
)

__all__ = ["build", "build_head", "head_names", "head_spec", "names", "resolve", "spec"]


def names() -> list[str]:
    """The name of every reference architecture, family by family."""
    return list(architectures())


def resolve(name: str) -> Resolved:
    """What a name stands for: a name of ``names()``, a short one (``r50``), a paper's or an upstream's.

    Case does not matter. An upstream's name (``ffc_mobilefacenet_512``) brings that upstream's options.

    Raises:
        UsageError: no architecture has this name; the nearest names are given.
    """
    return resolve_name(name)


def spec(name: str, **options: Any) -> ArchitectureSpec:
    """What an architecture declares about itself.

    Args:
        name: any name that :func:`resolve` knows.
        options: ``embedding_size``, ``normalize``, ``eps``, ``dropout`` as far as the architecture has them.

    Raises:
        UsageError: an unknown name or option.
    """
    return resolve(name).architecture.with_options(**options)


def build(name: str, framework: str, **options: Any) -> Any:
    """The net in one framework, weights as that framework initialises them.

    Args:
        name: any name that :func:`resolve` knows.
        framework: "torch" for an ``nn.Module``, "paddle" for a ``Layer``, "mxnet" for a ``Symbol``.
        options: as for :func:`spec`.

    Raises:
        UsageError: an unknown name, framework or option.
        FrameworkMissingError: the framework is not installed; the message names the pip command.
    """
    architecture = spec(name, **options)
    require(known_framework(framework), f"build {architecture.name}")
    return families()[architecture.family].build(architecture, framework)


def head_names() -> list[str]:
    """The name of every margin head. Those of the published ones are in ``heads/upstreams.py``."""
    return list(HEADS)


def head_spec(name: str, **options: Any) -> HeadSpec:
    """What a margin head is: its options and, for a published one, whose.

    Args:
        name: one of ``head_names()``, or a published head such as ``paddleclas_arcmargin``.
        options: the head's, see ``heads/spec.py``; a published head takes its upstream's own (``easy_margin=True``).

    Raises:
        UsageError: an unknown name or option.
    """
    return resolve_head(name, options)


def build_head(name: str, framework: str, *, embedding_size: int, classes: int, **options: Any) -> Any:
    """A margin head in one framework, class centres as initialised.

    Args:
        name: as for :func:`head_spec`.
        framework: "torch" for an ``nn.Module``, "paddle" for a ``Layer``: both are called with features and labels,
            and ``loss`` gives the loss of the logits. "mxnet" for a ``Symbol`` with outputs softmax, logits and loss.
        embedding_size: length of a feature.
        classes: number of classes.
        options: as for :func:`head_spec`.

    Raises:
        UsageError: an unknown name, framework or option.
        FrameworkMissingError: the framework is not installed; the message names the pip command.
    """
    head = head_spec(name, **options)
    require(known_framework(framework), f"build the head {head.name}")
    return build_head_net(head, framework, embedding_size, classes)
