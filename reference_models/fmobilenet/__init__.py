"""InsightFace's MobileNet V1 for faces, fmobilenet, in PyTorch, PaddlePaddle and MXNet."""
