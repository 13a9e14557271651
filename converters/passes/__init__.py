"""Graph -> graph, one pass a file."""
