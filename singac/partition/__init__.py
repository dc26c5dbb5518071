"""Net graph -> partitioned net: sub-layers on workers, param slices on servers."""
