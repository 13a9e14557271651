"""Training steps in PaddlePaddle, dynamic; see step.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from facecvt.parity_tests.training.step import NumpyArray, Recipe, Task, Trained, collect, head_sizes, trainable
from facecvt.reference_models.heads import spec as heads
from facecvt.reference_models.heads.names import State, head_from_canonical
from facecvt.reference_models.heads.spec import HeadSpec
from facecvt.reference_models.spec import families
from facecvt.reference_models.weights import from_canonical


def load(layer: Any, state: dict[str, NumpyArray], dtype: str) -> None:
    """Put a state into a layer of this dtype; a name too many or too few is an error."""
    layer.to(dtype=dtype)
    missing, unexpected = layer.set_state_dict({n: paddle.to_tensor(np.array(a, dtype)) for n, a in state.items()})
    if missing or unexpected:
        raise ValueError(f"the layer lacks {unexpected[:5]} and has besides {missing[:5]}")


def in_numpy(values: dict[str, Any]) -> dict[str, NumpyArray]:
    """Tensors as arrays."""
    return {name: value.numpy() for name, value in values.items()}


def descent(recipe: Recipe, parameters: Sequence[tuple[Any, str]]) -> Any:
    """The optimizer of parameters and their roles; weight decay acts where the recipe says."""
    rate, momentum, decay = recipe.rounded()
    groups = []
    for factor, wanted in ((decay, True), (0.0, False)):
        chosen = [parameter for parameter, role in parameters if (role in recipe.decayed) is wanted]
        if chosen:
            groups.append({"params": chosen, "weight_decay": factor})
    return paddle.optimizer.Momentum(rate, momentum, parameters=groups)


def train(task: Task, dtype: str) -> Trained:
    """See :func:`facecvt.parity_tests.training.step.train`."""
    arch = task.architecture
    net = families()[arch.family].build(arch, "paddle")
    head = heads.build(task.head, "paddle", arch.embedding_size, task.classes)
    load(net, from_canonical(task.weights(), "paddle", arch), dtype)
    load(head, head_from_canonical(task.head_weights(), task.head, "paddle"), dtype)

    parameters, places = trainable(arch, "paddle"), dict(net.named_parameters())
    centres = getattr(head, head.parameter)
    optimizer = descent(task.recipe, [(places[p.name], p.role) for p in parameters] + [(centres, "centres")])

    images = paddle.to_tensor(task.batch.images.astype(dtype))
    labels = paddle.to_tensor(task.batch.labels)
    net.train()
    losses = []
    for _ in range(task.recipe.steps):
        optimizer.clear_grad()
        _, loss = head.step(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))

    gradients = {p.name: places[p.name].grad for p in parameters} | {head.parameter: centres.grad}
    return collect(task, "paddle", losses, in_numpy(gradients), in_numpy(net.state_dict()), in_numpy(head.state_dict()))


def run_head(
    head: HeadSpec, state: State, features: NumpyArray, labels: NumpyArray, dtype: str
) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
    """See :func:`facecvt.parity_tests.training.step.run_head`; state and centres' gradient as the net has them."""
    net = heads.build(head, "paddle", *head_sizes(head, "paddle", state))
    load(net, state, dtype)
    x = paddle.to_tensor(features.astype(dtype), stop_gradient=False)
    logits, loss = net.step(x, paddle.to_tensor(labels))
    loss.backward()
    values = {"logits": logits, "loss": loss, "d_features": x.grad, "d_centres": getattr(net, net.parameter).grad}
    return in_numpy(values), in_numpy(net.state_dict())
