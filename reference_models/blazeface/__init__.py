"""BlazeFace as PaddleDetection makes it: two levels of features, an SSD head and its priors."""
