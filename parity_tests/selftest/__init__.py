"""The verifier's own test: known faults put into converted models, and harmless variants of them."""
