"""MobileNet V1: a classifier of 224x224 images made of depthwise separable convolutions."""
