"""The real frameworks behind one contract: run a model file, capture named values."""
