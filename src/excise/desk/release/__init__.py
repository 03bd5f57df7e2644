"""Releases: what is served, what it covers, and whether it is what is served."""
