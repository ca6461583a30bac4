"""Whole Debian machines in namespaces: their images, their boot, and what AWS gives them."""
