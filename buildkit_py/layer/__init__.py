"""Layers: trees, the changes between them, and how changes become blobs and blobs changes."""
