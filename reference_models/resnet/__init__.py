"""ResNet, ResNeXt, Wide ResNet, and FFC's face networks on ResNet, in PyTorch, PaddlePaddle and MXNet."""
