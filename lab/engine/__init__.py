"""Pulumi's own engine: built once, then driven over a copy of the project."""
