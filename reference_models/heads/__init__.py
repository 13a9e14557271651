"""Margin heads to train with in PyTorch, PaddlePaddle and MXNet: ArcFace, CosFace, SphereFace, combined, AdaFace."""
