"""The reference architectures, every implementation of each held against every other: ``facecvt parity``."""
