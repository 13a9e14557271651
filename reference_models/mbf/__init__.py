"""MobileFaceNet in the form of arcface_torch and PLSC, in PyTorch, PaddlePaddle and MXNet."""
