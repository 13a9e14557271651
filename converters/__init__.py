"""Files of one framework -> canonical graph -> files of another. Nothing here imports a framework at module level."""
