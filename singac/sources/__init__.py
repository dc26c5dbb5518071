"""Where examples come from: one reader a file format."""
