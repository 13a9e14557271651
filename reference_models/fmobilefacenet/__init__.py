"""InsightFace's MXNet MobileFaceNet, fmobilefacenet, in PyTorch, PaddlePaddle and MXNet."""
