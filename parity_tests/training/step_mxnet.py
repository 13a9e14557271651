"""Training steps in MXNet: the network's symbol under the head's, bound on the CPU; see step.py."""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.converters.contract import InputContract
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
from facecvt.reference_models.weights import from_canonical, split_auxiliary

mx = import_mxnet("train in MXNet")


def as_fed(images: NumpyArray, contract: InputContract) -> NumpyArray:
    """Scaled images as the symbol takes them: as they are, or as what its own first nodes turn into them."""
    if not contract.in_graph or contract.mean is None or contract.scale is None:
        return images
    # the contracts of one colour's mean and scale hold for all
    return images / contract.scale[0] + contract.mean[0]


def in_dtype(symbol: Any, dtype: str) -> Any:
    """The symbol with the constants inside it, such as ones for a scale, in another dtype."""
    return mx.sym.load_json(symbol.tojson().replace('"dtype": "float32"', f'"dtype": "{dtype}"'))


def train(task: Task, dtype: str) -> Trained:
    """See :func:`facecvt.parity_tests.training.step.train`."""
    arch = task.architecture
    net = families()[arch.family].build(arch, "mxnet")
    head = heads.build(task.head, "mxnet", arch.embedding_size, task.classes)
    symbol = in_dtype(head(data=net), dtype)
    weights, aux = split_auxiliary(from_canonical(task.weights(), "mxnet", arch), arch)
    head_weights = head_from_canonical(task.head_weights(), task.head, "mxnet")
    contract = arch.contracts["mxnet"]
    fed = {contract.name: as_fed(task.batch.images, contract), "softmax_label": task.batch.labels}
    arrays = {**weights, **head_weights, **fed}
    parameters, centres = trainable(arch, "mxnet"), task.head.centres_name("mxnet")
    roles = {p.name: p.role for p in parameters} | {centres: "centres"}
    args = {name: mx.nd.array(arrays[name], dtype=dtype) for name in symbol.list_arguments()}
    executor = symbol.bind(
        mx.cpu(),
        args,
        args_grad={name: mx.nd.zeros(args[name].shape, dtype=dtype) for name in roles},
        grad_req={name: "write" if name in roles else "null" for name in args},
        aux_states={name: mx.nd.array(aux[name], dtype=dtype) for name in symbol.list_auxiliary_states()},
    )
    update = updater(task.recipe, roles)
    losses = []
    for _ in range(task.recipe.steps):
        executor.forward(is_train=True)
        executor.backward()
        mx.nd.waitall()  # the statistics move behind the scenes
        losses.append(float(executor.output_dict["loss_output"].asnumpy().reshape(-1)[0]))
        if task.head.kind == "adaface":
            keep_averages(executor)
        for index, name in enumerate(roles):
            update(index, executor.grad_dict[name], executor.arg_dict[name])
    mx.nd.waitall()

    arrays_after = executor.arg_dict | executor.aux_dict
    return collect(
        task,
        "mxnet",
        losses,
        {name: executor.grad_dict[name].asnumpy() for name in roles},
        {name: arrays_after[name].asnumpy() for name in (*weights, *aux)},
        {name: arrays_after[name].asnumpy() for name in head_weights},
    )


def updater(recipe: Recipe, roles: dict[str, str]) -> Any:
    """MXNet's SGD as a function of (index, gradient, weight) that knows the parameters by their order in ``roles``.

    Weight decay acts where the recipe says.
    """
    rate, momentum, decay = recipe.rounded()
    optimizer = mx.optimizer.SGD(
        learning_rate=rate, momentum=momentum, wd=decay, rescale_grad=1.0, param_idx2name=dict(enumerate(roles))
    )
    optimizer.set_wd_mult({name: 1.0 if role in recipe.decayed else 0.0 for name, role in roles.items()})
    return mx.optimizer.get_updater(optimizer)


def softmax_output_factor(labels: NumpyArray) -> float:
    """What SoftmaxOutput's gradient is off by: it keeps 1 / rows in float32 even where its data are float64."""
    rows = int((labels >= 0).sum())
    return in_float32(1 / rows) * rows


def run_head(
    head: HeadSpec, state: State, features: NumpyArray, labels: NumpyArray, dtype: str
) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
    """See :func:`facecvt.parity_tests.training.step.run_head`; gradients without :func:`softmax_output_factor`."""
    size, classes = head_sizes(head, "mxnet", state)
    symbol = heads.build(head, "mxnet", size, classes)
    arrays = {**state, "data": features, "softmax_label": labels}
    args = {name: mx.nd.array(arrays[name], dtype=dtype) for name in symbol.list_arguments()}
    centres = head.centres_name("mxnet")
    grads = {name: mx.nd.zeros(args[name].shape, dtype=dtype) for name in ("data", centres)}
    executor = symbol.bind(mx.cpu(), args, args_grad=grads, grad_req=dict.fromkeys(grads, "write"))
    executor.forward(is_train=True)
    executor.backward()
    outputs = {name: value.asnumpy() for name, value in executor.output_dict.items()}
    if head.kind == "adaface":
        keep_averages(executor)
    factor = softmax_output_factor(labels)
    values = {
        "logits": outputs["logits_output"],
        "loss": outputs["loss_output"].reshape(()),
        "d_features": grads["data"].asnumpy() / factor,
        "d_centres": grads[centres].asnumpy() / factor,
    }
    return values, {name: args[name].asnumpy() for name in state}


def keep_averages(executor: Any) -> None:
    """AdaFace's new moving averages into its arguments."""
    from facecvt.reference_models.heads.net_mxnet import keep_moving_averages

    keep_moving_averages(executor)
