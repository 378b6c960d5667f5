"""Secrets that were left in an image: in the files of any layer, and in its configuration."""
