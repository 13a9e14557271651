"""Training steps in PyTorch; see step.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from facecvt.parity_tests.training.step import (
    NumpyArray,
    Recipe,
    Task,
    Trained,
    collect,
    head_sizes,
    in_float32,
    trainable,
)
from facecvt.reference_models.heads import spec as heads
from facecvt.reference_models.heads.names import State, head_from_canonical
from facecvt.reference_models.heads.spec import HeadSpec
from facecvt.reference_models.spec import families
from facecvt.reference_models.weights import from_canonical


def tensors(arrays: dict[str, NumpyArray]) -> dict[str, torch.Tensor]:
    """A state of arrays as one of tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def batch_norms(net: Any) -> dict[str, Any]:
    """Path -> BatchNorm."""
    return {path: module for path, module in net.named_modules() if hasattr(module, "running_var")}


def in_numpy(values: dict[str, torch.Tensor]) -> dict[str, NumpyArray]:
    """Tensors as arrays."""
    return {name: value.detach().numpy() for name, value in values.items()}


def descent(recipe: Recipe, parameters: Sequence[tuple[torch.Tensor, str]]) -> torch.optim.SGD:
    """The optimizer of parameters and their roles; weight decay acts where the recipe says."""
    rate, momentum, decay = recipe.rounded()
    groups = [
        {"params": [parameter], "weight_decay": decay if role in recipe.decayed else 0.0}
        for parameter, role in parameters
    ]
    return torch.optim.SGD(groups, lr=rate, momentum=momentum)


def away_from_kinks(task: Task, window: float = 0.2) -> Task:
    """The task with shifts moved so that no value in front of a PReLU lies near 0 in its first step.

    A PReLU's gradient jumps at 0. Among millions of values some are so near to it that float32 puts them on the other
    side, now in one framework and now in another, and a jump in a gradient says nothing about either. Each channel's
    shift is moved, by ``window`` at the most, so that 0 lies in the middle of the widest gap between its values.
    """
    arch = task.architecture
    arrays = dict(task.weights())
    net = families()[arch.family].build(arch, "torch").double()
    net.load_state_dict(tensors(from_canonical(arrays, "torch", arch)), strict=True)

    def move(shift: str) -> Any:
        def hook(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            x = inputs[0]
            values = x.transpose(0, 1).flatten(1).sort(1).values
            middles, gaps = (values[:, 1:] + values[:, :-1]) / 2, values[:, 1:] - values[:, :-1]
            widest = gaps.masked_fill(middles.abs() > window, -1.0).argmax(1, keepdim=True)
            # as float32 holds the moved shift
            old = torch.from_numpy(arrays[shift]).double()
            new = (old - middles.gather(1, widest).squeeze(1)).float()
            arrays[shift] = new.numpy()
            return (x + (new.double() - old).reshape(1, -1, *[1] * (x.ndim - 2)),)

        return hook

    listed = {layer.name: layer for layer in arch.layers()}
    for layer in listed.values():
        if layer.op == "PRelu":
            norm = listed[layer.inputs[0]]
            module = net.get_submodule(arch.names("torch").layer(layer.name))
            module.register_forward_pre_hook(move(norm.parameter("shift").name))
    net.train()
    for norm in batch_norms(net).values():
        norm.eps = in_float32(norm.eps)
    with torch.no_grad():
        net(torch.from_numpy(task.batch.images).double())
    return replace(task, arrays=arrays)


def train(task: Task, dtype: str) -> Trained:
    """See :func:`facecvt.parity_tests.training.step.train`."""
    arch, precision = task.architecture, getattr(torch, dtype)
    net = families()[arch.family].build(arch, "torch").to(precision)
    head = heads.build(task.head, "torch", arch.embedding_size, task.classes).to(precision)
    net.load_state_dict(tensors(from_canonical(task.weights(), "torch", arch)), strict=True)
    head.load_state_dict(tensors(head_from_canonical(task.head_weights(), task.head, "torch")), strict=True)
    norms = batch_norms(net)
    samples: dict[str, int] = {}
    for path, norm in norms.items():
        norm.eps, norm.momentum = in_float32(norm.eps), 1 - in_float32(1 - norm.momentum)
        norm.register_forward_pre_hook(
            lambda m, x, path=path: samples.__setitem__(path, x[0].numel() // m.num_features)
        )
    before = {path: norm.running_var.double().clone() for path, norm in norms.items()}

    parameters, places = trainable(arch, "torch"), dict(net.named_parameters())
    centres = getattr(head, head.parameter)
    optimizer = descent(task.recipe, [(places[p.name], p.role) for p in parameters] + [(centres, "centres")])

    images = torch.from_numpy(task.batch.images).to(precision)
    labels = torch.from_numpy(task.batch.labels)
    net.train()
    losses = []
    for _ in range(task.recipe.steps):
        optimizer.zero_grad()
        _, loss = head.step(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    for path, norm in norms.items():  # the unbiased variance to the biased one
        kept = (1 - norm.momentum) ** task.recipe.steps * before[path]
        n = samples[path]
        biased = (norm.running_var.double() - kept) * ((n - 1) / n) + kept
        norm.running_var.copy_(biased)
    gradients = {p.name: places[p.name].grad for p in parameters} | {head.parameter: centres.grad}
    return collect(task, "torch", losses, in_numpy(gradients), in_numpy(net.state_dict()), in_numpy(head.state_dict()))


def run_head(
    head: HeadSpec, state: State, features: NumpyArray, labels: NumpyArray, dtype: str
) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
    """See :func:`facecvt.parity_tests.training.step.run_head`; state and centres' gradient as the net has them."""
    net = heads.build(head, "torch", *head_sizes(head, "torch", state)).to(getattr(torch, dtype))
    net.load_state_dict(tensors(state), strict=True)
    x = torch.from_numpy(features.astype(dtype)).requires_grad_()
    logits, loss = net.step(x, torch.from_numpy(labels))
    loss.backward()
    values = {"logits": logits, "loss": loss, "d_features": x.grad, "d_centres": getattr(net, net.parameter).grad}
    return in_numpy(values), in_numpy(net.state_dict())
