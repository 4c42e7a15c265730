"""Across sizes and training steps: when each model memorized, when it generalized, and what size does to both."""

from probe.scaling.transitions import by_size, transitions

__all__ = ["by_size", "transitions"]
