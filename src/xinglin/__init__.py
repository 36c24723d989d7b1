"""Xinglin: a shared ledger for health care that keeps the data at home."""

__version__ = "0.1.0"
