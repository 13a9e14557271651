"""MobileNet V3 small and large with squeeze and excitation, which has BatchNorms, behind the projection."""
