"""More cases of mxnet_cases.py: detectors' last steps, picking, blocks of pixels, and forms that few models have."""

from __future__ import annotations

from facecvt.parity_tests.support.mxnet_case import Case, data, pair

X = (2, 6, 7, 9)
PLACES = {"data": (3, 4), "places": (3,)}
MORE: list[Case] = [
    *[
        Case(
            "_contrib_MultiBoxDetection",
            {"data": (2, 4, 9), "moves": (2, 36), "priors": (1, 9, 4)},
            dict(attrs),
            single=True,
            values=(0.1, 0.9),
        )
        for attrs in (
            {},
            {"threshold": 0.7, "nms_threshold": 0.2},
            {"nms_threshold": 0.1, "force_suppress": True, "nms_topk": 5, "clip": False},
            {"nms_threshold": 0, "variances": (0.2, 0.1, 0.3, 0.05), "background_id": 2},
        )
    ],
    *[
        Case(op, data(*shape), dict(attrs), single=True, values=(-0.1, 0.9))
        for op, shape, attrs in (
            ("_contrib_box_nms", (2, 3, 9, 6), {"overlap_thresh": 0.01}),
            ("_contrib_box_nms", (9, 7), {"coord_start": 1, "score_index": 6, "topk": 6, "valid_thresh": 0.2}),
            ("_contrib_box_nms", (2, 9, 6), {"in_format": "center", "out_format": "corner", "overlap_thresh": 0.3}),
            ("_contrib_box_nms", (2, 9, 6), {"out_format": "center"}),
            ("_contrib_box_nms", (2, 9, 6), {"topk": 0}),
        )
    ],
    Case(
        "_contrib_box_non_maximum_suppression",
        data(2, 9, 6),
        {"id_index": 0, "background_id": 2, "overlap_thresh": 0.1},
        integers=("data",),
        single=True,
    ),
    *[
        Case("GroupNorm", {"data": X, "gamma": (groups,), "beta": (groups,)}, {"num_groups": groups})
        for groups in (1, 3)
    ],
    Case("GroupNorm", {"data": (2, 4, 5), "gamma": (2,), "beta": (2,)}, {"num_groups": 2, "eps": 0.1}),
    *[
        Case("_contrib_AdaptiveAvgPooling2D", data(*X), dict(attrs), single=True)
        for attrs in ({}, {"output_size": 1}, {"output_size": (7, 3)}, {"output_size": "(4, 2)"}, {"output_size": 5})
    ],
    *[
        Case("_contrib_BilinearResize2D", data(1, 2, 5, 6), {"mode": mode, **scales}, single=True)
        for mode, scales in (
            ("odd_scale", {"scale_height": 2, "scale_width": 1.5}),
            ("odd_scale", {"scale_height": 0.5, "scale_width": 0.4, "align_corners": False}),
            ("to_even_down", {}),
            ("to_even_up", {}),
            ("to_odd_down", {}),
            ("to_odd_up", {"align_corners": False}),
        )
    ],
    Case("pick", PLACES, integers=("places",)),
    Case("pick", {"data": (3, 4, 2), "places": (3, 2)}, {"axis": 1, "mode": "wrap"}, integers=("places",), halved=True),
    Case("pick", {"data": (3, 4), "places": (1, 4)}, {"axis": 0, "keepdims": True}, integers=("places",)),
    Case("choose_element_0index", PLACES, integers=("places",)),
    Case("argmax_channel", data(3, 4)),
    Case("argmax", data(2, 3, 4)),
    Case("argmin", data(2, 3, 4), {"keepdims": True}),
    Case("topk", data(3, 5), {"k": 2, "ret_typ": "mask"}),
    Case("topk", data(3, 5), {"k": 4, "ret_typ": "mask", "axis": "None", "is_ascend": True}),
    Case("topk", data(3, 5), {"k": 4, "axis": "None"}),
    Case("sort", data(3, 5), {"axis": "None"}),
    Case("argsort", data(3, 5), {"axis": "None", "is_ascend": False}),
    Case("depth_to_space", data(2, 12, 3, 4), {"block_size": 2}),
    Case("space_to_depth", data(2, 3, 4, 6), {"block_size": 2}),
    Case("_split_v2", data(2, 6, 3), {"sections": 3, "indices": "[]"}, outputs=3),
    Case("_split_v2", data(2, 6, 3), {"axis": 2, "indices": "[0, 1]", "sections": 0}, outputs=2),
    Case("_split_v2", data(2, 6, 3), {"axis": 2, "sections": 3, "squeeze_axis": True, "indices": "()"}, outputs=3),
    Case("reshape_like", pair((30, 7), (15, 2, 4)), {"lhs_begin": 0, "lhs_end": 1, "rhs_begin": 0, "rhs_end": 2}),
    Case("reshape_like", pair((3, 5), (1, 15, 4)), {"lhs_begin": 0, "lhs_end": 2, "rhs_begin": 1, "rhs_end": 2}),
    Case("reshape_like", pair((30, 12), (4, 2, 2, 3)), {"lhs_begin": -1, "lhs_end": "None", "rhs_begin": 1}),
    Case(
        "softmax",
        {"data": (3, 4), "length": (3,)},
        {"use_length": True},
        integers=("length",),
        whole=("length",),
    ),
    Case(
        "softmax",
        {"data": (2, 3, 4), "length": (2, 4)},
        {"use_length": True, "axis": 1, "temperature": 0.5},
        integers=("length",),
        whole=("length",),
    ),
    Case("batch_take", PLACES, integers=("places",), whole=("places",)),
]
