"""Nets cut in every way train as one worker does."""

from __future__ import annotations
