"""One training step from equal weights in PyTorch, Paddle and MXNet (:mod:`.step`), a file a framework."""
