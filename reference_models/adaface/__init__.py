"""AdaFace's IR and IR-SE networks, 18 to 200 layers, in PyTorch, PaddlePaddle and MXNet."""
