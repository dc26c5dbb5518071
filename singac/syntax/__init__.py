"""Syntax: `.singa` text -> syntax tree -> canonical text."""
