"""SlimFaceNet of PaddleSlim in PyTorch, PaddlePaddle and MXNet, any arch codes and width."""
