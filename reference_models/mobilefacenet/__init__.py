"""MobileFaceNet, 112 x 112 to an embedding of 128, in PyTorch, PaddlePaddle and MXNet."""
