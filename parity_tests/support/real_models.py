"""The real models that facecvt is held to, as data: every model of the real model files, in every direction.

They are not part of this project; the folder lies beside it or where ``FACECVT_REAL_MODELS`` says. A model whose
declared input has one size, though its layers take any, and one that takes any size, though a fixed one takes another
path (a squeezed axis, a cropped map), stands here twice.

Programs that come without weights get made-up ones (:mod:`facecvt.parity_tests.support.synthetic`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.formats.locate import Framework, ModelFiles, locate
from facecvt.converters.formats.paddle_params import write_combined
from facecvt.converters.formats.paddle_program import read_program
from facecvt.parity_tests.inputs import DEFAULT_BATCHES
from facecvt.parity_tests.proven import Source, torch_reader
from facecvt.parity_tests.support.synthetic import synthesise_params
from facecvt.parity_tests.verification import Verification
from facecvt.reference_models.public_class import public_class

TARGETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mxnet": ("onnx", "torch", "paddle"),
        "paddle": ("onnx", "torch", "mxnet"),
        "onnx": ("torch", "mxnet", "paddle"),
        "torch": ("onnx", "mxnet", "paddle"),
    }
)
# Goals of an output against the oracle and against the framework.
LARGEST_REL_RMSE = 2e-5
LARGEST_ONE_MINUS_COS = 1e-10


@dataclass(frozen=True)
class RealModel:
    """One model and how it is run.

    Attributes:
        key: short name, unique in the list.
        title: what a table calls it.
        framework: "mxnet", "paddle", "onnx" or "torch".
        path: below the folder of real models, in a spelling that a conversion takes.
        input_shapes: shape by input name, batch included, where it is to be another than the source's own.
        batches: the batch sizes it takes: all, or the one that is fixed in it.
        made_up_weights: whether the program comes without weights.
        refused: target -> part of the error, for targets that cannot express it.
    """

    key: str
    title: str
    framework: Framework
    path: str
    input_shapes: Mapping[str, Sequence[int | str]] | None = None
    batches: tuple[int, ...] = DEFAULT_BATCHES
    made_up_weights: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """The frameworks that it is converted to."""
        return tuple(target for target in TARGETS[self.framework] if target not in self.refused)

    def locate(self, models: Path, scratch: Path) -> ModelFiles:
        """The model's files.

        Args:
            models: the folder of real models.
            scratch: an existing folder, for a copy of a program and its made-up weights.
        """
        path = models / self.path
        if not self.made_up_weights:
            return locate(self.framework, path)
        copy = scratch / path.name
        if not copy.exists():
            shutil.copyfile(path, copy)
            write_combined(copy.with_suffix(".pdiparams"), synthesise_params(read_program(copy)))
        return locate(self.framework, copy)

    def convert(self, target_framework: str, models: Path, scratch: Path) -> Conversion:
        """Convert the model into ``scratch`` the way the commands do it.

        Args:
            target_framework: one of :attr:`targets`.
            models: the folder of real models.
            scratch: an existing folder; the target is ``KEY.onnx`` or a folder ``KEY_<framework>`` in it.
        """
        name = f"{self.key}.onnx" if target_framework == "onnx" else f"{self.key}_{target_framework}"
        files = self.locate(models, scratch)
        source = Source(files, files.name, None)
        return convert_files(
            self.framework,
            files,
            target_framework,
            scratch / name,
            input_shapes=self.input_shapes,
            recogniser=public_class,
            reader=torch_reader(source, None, self.input_shapes) if self.framework == "torch" else None,
        )


def _mxnet(key: str, title: str, path: str, shape: Sequence[int | str] | None = None) -> RealModel:
    batches = (shape[0],) if shape is not None and isinstance(shape[0], int) else DEFAULT_BATCHES
    return RealModel(key, title, "mxnet", f"mxnet/{path}", None if shape is None else {"data": shape}, batches)


REAL_MODELS: tuple[RealModel, ...] = (
    _mxnet("det1", "MTCNN P-Net, JSON of 0.8", "mtcnn-det1/det1-symbol.json"),
    _mxnet("det1-new", "MTCNN P-Net, JSON of 1.4", "mtcnn-det1/det1-newjson-symbol.json"),
    _mxnet("det1-12", "MTCNN P-Net at 12x12", "mtcnn-det1/det1-symbol.json", ("batch", 3, 12, 12)),
    _mxnet("det2", "MTCNN R-Net, JSON of 0.8", "mtcnn-det2/det2-symbol.json"),
    _mxnet("det2-new", "MTCNN R-Net, JSON of 1.4", "mtcnn-det2/det2-newjson-symbol.json"),
    _mxnet("det3", "MTCNN O-Net, JSON of 0.8", "mtcnn-det3/det3-symbol.json"),
    _mxnet("det3-new", "MTCNN O-Net, JSON of 1.4", "mtcnn-det3/det3-newjson-symbol.json"),
    _mxnet("gender-age", "InsightFace gender-age", "insightface-gender-age/model"),
    _mxnet("retinaface", "RetinaFace mnet25", "retinaface-mnet25/M25-symbol.json"),
    # Neither side is a multiple of a stride, so that every Crop has something to cut.
    _mxnet("retinaface-75x101", "RetinaFace mnet25 at 1x75x101", "retinaface-mnet25/M25-symbol.json", (1, 3, 75, 101)),
    *(
        RealModel(f"combined-{net}", title, "paddle", f"paddle/mtcnn-pdmodel-combined/{net}.pdmodel")
        for net, title in (
            ("PNet", "MTCNN P-Net, combined weights"),
            ("RNet", "MTCNN R-Net, combined weights"),
            ("ONet", "MTCNN O-Net, combined weights"),
        )
    ),
    # Here squeeze2 has something to squeeze: maps of one element.
    RealModel(
        "combined-PNet-12",
        "MTCNN P-Net, combined weights, at 12x12",
        "paddle",
        "paddle/mtcnn-pdmodel-combined/PNet.pdmodel",
        {"x": ("batch", 3, 12, 12)},
    ),
    *(
        RealModel(f"separate-{net}", title, "paddle", f"paddle/mtcnn-old-model-separate/{net}")
        for net, title in (
            ("PNet", "MTCNN P-Net, a file a weight"),
            ("RNet", "MTCNN R-Net, a file a weight"),
            ("ONet", "MTCNN O-Net, a file a weight"),
        )
    ),
    # It says 12x12 and is fully convolutional; at other sizes its maps keep their axes.
    RealModel(
        "separate-PNet-any",
        "MTCNN P-Net, a file a weight, at any size",
        "paddle",
        "paddle/mtcnn-old-model-separate/PNet",
        {"image": ("batch", 3, "height", "width")},
    ),
    RealModel(
        "mobilefacenet",
        "MobileFaceNet to 512, made-up weights",
        "paddle",
        "paddle/mobilefacenet-program-only/head.pdmodel",
        made_up_weights=True,
    ),
    RealModel(
        "mobilenet-enhance",
        "MobileNetV1-enhance to 512, made-up weights",
        "paddle",
        "paddle/mobilefacenet-program-only/older.pdmodel",
        made_up_weights=True,
    ),
    *(
        RealModel(key, title, "onnx", f"onnx/{path}", batches=(batch,))
        for key, title, path, batch in (
            ("rfb320", "Ultra-light RFB-320 with post-processing", "ultra-light-face/version-RFB-320.onnx", 1),
            ("rfb320-raw", "Ultra-light RFB-320", "ultra-light-face/version-RFB-320_without_postprocessing.onnx", 1),
            (
                "slim320",
                "Ultra-light slim-320, simplified",
                "ultra-light-face/version-slim-320_simplified.onnx",
                1,
            ),
            ("blazeface", "BlazeFace 640", "blazeface-paddledet-port/blazeface.onnx", 1),
            ("blazeface-sim", "BlazeFace 640, simplified", "blazeface-paddledet-port/blazeface_sim.onnx", 1),
            ("ppocr-cls", "PP-OCRv2 direction classifier, batch 6", "ppocr-v2-cls/PP_OCR_v2_cls.onnx", 6),
        )
    ),
    # It squeezes axis 2 twice: how many axes are left is known at run time only, or at this size.
    RealModel(
        "script-PNet",
        "MTCNN P-Net, TorchScript",
        "torch",
        "pytorch/mtcnn-torchscript/PNet.pth",
        refused={
            "mxnet": "how much it keeps is known at run time only",
            "paddle": "the number of dimensions of 'Reshape' is not known",
        },
    ),
    RealModel(
        "script-PNet-12",
        "MTCNN P-Net, TorchScript, at 12x12",
        "torch",
        "pytorch/mtcnn-torchscript/PNet.pth",
        {"x": ("batch", 3, 12, 12)},
    ),
    *(
        RealModel(key, title, "torch", f"pytorch/{path}")
        for key, title, path in (
            ("script-RNet", "MTCNN R-Net, TorchScript", "mtcnn-torchscript/RNet.pth"),
            ("script-ONet", "MTCNN O-Net, TorchScript", "mtcnn-torchscript/ONet.pth"),
            ("mediapipe-front", "BlazeFace front of MediaPipe", "blazeface-mediapipe/blazeface.pth"),
            ("mediapipe-back", "BlazeFace back of MediaPipe", "blazeface-mediapipe/blazefaceback.pth"),
            ("blazeface-pth", "BlazeFace 1000e, PyTorch port", "blazeface-paddledet-port/blazeface_1000e.pth"),
            ("blazeface-pt", "BlazeFace 1000e, other keys", "blazeface-paddledet-port/blazeface_1000e.pt"),
            ("fpn-ssh-pt", "BlazeFace-FPN-SSH 1000e", "blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt"),
        )
    ),
)

# Models of the folder that are no row of the list, and why.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "mxnet/retinaface-mnet25/mnet.25-symbol.json": "its names do not fit the weights; it must be refused",
        "mxnet/apache-legacy-fixtures/save_000800-56cabc5.json": "a symbol without weights",
        "mxnet/apache-legacy-fixtures/save_000800-e0be90f.json": "a symbol without weights",
        "mxnet/apache-legacy-fixtures/test_dnnl_test_dnnl_model_model1.json": "a symbol without weights",
        "paddle/blazeface-1000e/blazeface_1000e.pdparams": "weights without a program",
        "pytorch/face-detector-1mb/mobilenet0.25_Final.pth": "weights of no reference architecture",
        "pytorch/face-detector-1mb/slim_Final.pth": "weights of no reference architecture",
        "pytorch/minifasnet/2.7_80x80_MiniFASNetV2.pth": "weights of no reference architecture",
        "pytorch/minifasnet/4_0_0_80x80_MiniFASNetV1SE.pth": "weights of no reference architecture",
        "pytorch/ultra-light-face/version-RFB-320.pth": "weights of no reference architecture",
        "pytorch/ultra-light-face/version-slim-320.pth": "weights of no reference architecture",
    }
)


def conversions(models: Sequence[RealModel] = REAL_MODELS) -> list[tuple[RealModel, str]]:
    """Every model with each of its targets."""
    return [(model, target) for model in models for target in model.targets]


@dataclass(frozen=True)
class WorstFigures:
    """The worst figures over all outputs of a verification; infinite where an output was not measured.

    Attributes:
        rel_rmse: of the output with the greatest.
        one_minus_cos: likewise.
        ratio: greatest rel-RMSE over the floor that float32 costs there.
    """

    rel_rmse: float
    one_minus_cos: float
    ratio: float

    @property
    def within_goals(self) -> bool:
        """Whether every output meets the absolute goals."""
        return self.rel_rmse <= LARGEST_REL_RMSE and self.one_minus_cos <= LARGEST_ONE_MINUS_COS


def worst_of(verification: Verification) -> WorstFigures:
    """The worst figures of a verification."""
    measured = [output.metrics for output in verification.outputs if output.metrics is not None]
    if not measured or len(measured) != len(verification.outputs):
        return WorstFigures(float("inf"), float("inf"), float("inf"))
    return WorstFigures(
        max(metrics.rel_rmse for metrics in measured),
        max(metrics.one_minus_cos for metrics in measured),
        max(output.ratio for output in verification.outputs),
    )
