"""Scanning: what an image consists of and what was left in it, read from its layers, never executed or unpacked."""
