"""Syntax tree -> net graph, params, training and topology."""
