"""Answers that are computed on a model when they are asked for."""
