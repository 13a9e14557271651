"""LResNet-E-IR, 18 to 200 layers: ArcFace's networks, in PyTorch, PaddlePaddle and MXNet."""
