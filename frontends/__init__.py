"""Frontends: each turns one build language into a graph `Definition`, through the public graph API alone."""
