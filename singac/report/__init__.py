"""A plan as a person wants it: on a screen, as a page, as a graph, against another plan."""
