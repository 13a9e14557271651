"""facecvt converts face models between PyTorch, PaddlePaddle, MXNet and ONNX, and proves each conversion right."""

__version__ = "0.1.0"
