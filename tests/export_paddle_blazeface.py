"""Saves BlazeFace with real weights whole, as PaddleDetection exports it: priors, decoded boxes, suppression.

    python export_paddle_blazeface.py FOLDER legacy|pir WEIGHTS.pdparams

In a process of its own, because the dialect is decided before Paddle is imported. FOLDER/x.npy is run through the saved
program; FOLDER/found.npz holds what Paddle gives.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NMS = {
    "score_threshold": 0.01, "nms_top_k": 5000, "keep_top_k": 750, "nms_threshold": 0.3, "normalized": True,
    "nms_eta": 1.0, "background_label": 1,
}  # fmt: skip


def main() -> None:
    folder, dialect, weights = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    os.environ["FLAGS_enable_pir_api"] = "0" if dialect == "legacy" else "1"  # noqa: SIM112 - Paddle's own name
    import numpy as np
    import paddle

    from facecvt.converters.formats.mapped import as_numpy
    from facecvt.converters.formats.paddle_params import read_pdparams
    from facecvt.reference_models import build

    class Detector(paddle.nn.Layer):
        """Images to (detections, 6) and how many of them each image has."""

        def __init__(self) -> None:
            super().__init__()
            self.net = build("blazeface", "paddle")

        def forward(self, x):
            boxes0, boxes1, scores0, scores1, priors0, priors1 = self.net(x)
            moves, priors = paddle.concat([boxes0, boxes1], axis=1), paddle.concat([priors0, priors1])
            boxes = paddle.vision.ops.box_coder(priors, [0.1, 0.1, 0.2, 0.2], moves, "decode_center_size")
            scores = paddle.nn.functional.softmax(paddle.concat([scores0, scores1], axis=1))
            return suppress(boxes, paddle.transpose(scores, [0, 2, 1]))

    def suppress(boxes, scores):
        if dialect == "pir":
            found, _, counts = paddle._C_ops.multiclass_nms3(boxes, scores, None, *NMS.values())
            return found, counts
        helper = paddle.base.layer_helper.LayerHelper("multiclass_nms3")
        kinds = {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"}
        made = {slot: helper.create_variable_for_type_inference(kind) for slot, kind in kinds.items()}
        helper.append_op(type="multiclass_nms3", inputs={"BBoxes": boxes, "Scores": scores}, outputs=made, attrs=NMS)
        return made["Out"], made["NmsRoisNum"]

    detector = Detector()
    detector.net.set_state_dict({name: as_numpy(array) for name, array in read_pdparams(weights).items()})
    detector.eval()
    size = paddle.static.InputSpec([None, 3, None, None], "float32", "image")
    paddle.jit.save(paddle.jit.to_static(detector, input_spec=[size], full_graph=True), str(folder / "inference"))

    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    program, feeds, fetches = paddle.static.load_inference_model(str(folder / "inference"), executor)
    fed = {feeds[0]: np.load(folder / "x.npy")}
    found = [np.array(value) for value in executor.run(program, feed=fed, fetch_list=fetches, return_numpy=False)]
    np.savez(folder / "found.npz", *found)


if __name__ == "__main__":
    main()
