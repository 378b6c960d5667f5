"""Executors: what drives a step and returns its result."""
