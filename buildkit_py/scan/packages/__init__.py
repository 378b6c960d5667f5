"""Packages that are installed in an image, by what each package manager keeps of them."""
