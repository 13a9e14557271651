"""InsightFace's MXNet fresnet with all its options, in PyTorch, PaddlePaddle and MXNet."""
