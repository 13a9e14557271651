"""FresResNet: the LResNet-E-IR of InsightFace's arcface_paddle, one slope per PReLU, in three frameworks."""
