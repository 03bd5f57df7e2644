"""The audit of an erasure: what a model still knows, and what is signed."""
