"""Format records -> canonical graph, one reader a framework."""
