"""Partitioned net -> one verified program for each process."""
