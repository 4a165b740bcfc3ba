"""Gradient health: whether a net can learn, where it fails, why, and what cures it."""
