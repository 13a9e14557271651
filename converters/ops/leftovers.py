"""Operators that training leaves in a graph and inference has no use for: losses, gradient stops, dropout, copies.

A loss layer becomes what it outputs at inference (SoftmaxOutput -> Softmax); its label goes, and the user is told. What
computes nothing becomes another name of its input. Paddle's dropout with ``downgrade_in_infer`` (its default) does
compute something at inference: it multiplies by 1 - p.

Sources: MXNet 1.9.1 (``SoftmaxOutputParam``, ``DropoutParam``, regression outputs), Paddle 3.3.1 ``dropout``, the ONNX
operator specification.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder, constant
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle
from facecvt.converters.ops.value_facts import known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp

TRAINING_ONLY = ("grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha")


def warn_of_label(op: MxnetOp, b: Builder, became: str) -> None:
    """Tell the user that a loss and its label are gone."""
    b.graph.warnings.append(f"{op.op} {op.name!r}: the loss and its label were removed; its output is {became}")


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("SoftmaxOutput", "Softmax")
def softmax_output_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    for key in TRAINING_ONLY:
        op.raw(key, None)
    over_channels, over_last = op.boolean("multi_output", False), op.boolean("preserve_shape", False)
    warn_of_label(op, b, "the softmax")
    if over_channels:
        return b.emit("Softmax", op.inputs[:1], axis=1)
    if not over_last and known_rank(op.inputs[0]) != 2:
        raise op.refuse(
            "without multi_output and preserve_shape MXNet's kernels agree on inputs of rank 2 only, and this one's "
            f"rank is {known_rank(op.inputs[0]) or 'not known'}; say in the symbol which axis is meant"
        )
    return b.emit("Softmax", op.inputs[:1], axis=-1)


@from_mxnet("LinearRegressionOutput", "MAERegressionOutput", "SVMOutput")
def regression_output_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    for key in ("grad_scale", "margin", "regularization_coefficient", "use_linear"):
        op.raw(key, None)
    warn_of_label(op, b, "its input")
    return op.inputs[0]


@from_mxnet("LogisticRegressionOutput")
def logistic_output_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    op.raw("grad_scale", None)
    warn_of_label(op, b, "the sigmoid")
    return b.emit("Sigmoid", op.inputs[:1])


@from_mxnet("MakeLoss", "make_loss")
def make_loss_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    for key in ("grad_scale", "valid_thresh", "normalization"):
        op.raw(key, None)
    b.graph.warnings.append(f"{op.op} {op.name!r}: the mark of a training loss was removed; its output is its input")
    return op.inputs[0]


@from_mxnet("BlockGrad", "stop_gradient", "_copy", "identity")
def copy_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return op.inputs[0]


@from_mxnet("Dropout")
def dropout_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    op.number("p", 0.5)
    op.raw("axes", None)
    if op.text("mode", "training", allowed=("training", "always")) == "always":
        raise op.refuse("mode 'always' drops at random at inference too, so that no two runs agree")
    return op.inputs[0]


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("dropout")
def dropout_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``dropout_implementation`` in a legacy program, ``mode`` in PIR; PIR gives p as operand 2."""
    for key in ("fix_seed", "seed", "axis", "is_test"):
        op.raw(key, None)
    share = op.number("p", operand=2) if op.pir else op.number("dropout_prob", 0.5)
    default = "downgrade_in_infer"
    how = op.text("mode" if op.pir else "dropout_implementation", default, allowed=(default, "upscale_in_train"))
    x = op.value("X", 0)
    if how == "upscale_in_train" or share == 0.0:
        return x
    return b.emit("Mul", [x, number_like(b, x, 1.0 - share)])


@from_paddle("assign", "share_data")
def assign_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return op.value("X", 0)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Identity")
def identity_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return op.value(0)


@from_onnx("Dropout")
def dropout_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Before opset 12 the ratio is an attribute; from 12 on there is an input that can turn training on."""
    op.raw("ratio", None)
    op.raw("seed", None)
    training = op.input(2)
    if training is not None:
        array = constant(training)
        if array is None or bool(array.reshape(-1)[0]):
            raise op.refuse("training_mode is on, or decided at run time; export the model for inference")
    return op.value(0)
