"""MobileNet V2 of any width: a classifier made of inverted residuals with linear bottlenecks."""
