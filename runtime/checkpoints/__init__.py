"""Params and states on disk: written, found, proved and read."""
