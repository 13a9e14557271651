"""BlazeFace as MediaPipe ships it, front and back camera: face boxes with six keypoints from a 128 or 256 px image."""
