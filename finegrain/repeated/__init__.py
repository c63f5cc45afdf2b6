"""The same recipe trained again and again: cross-validation, learning curves, and the comparison of what came of it."""
