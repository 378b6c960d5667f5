"""Registries and image layouts: pulling and pushing by digest, over HTTP, from directories and from archives."""
