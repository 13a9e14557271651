"""MobileNet V3 small and large as torchvision has them: squeeze and excitation on the expanded width."""
