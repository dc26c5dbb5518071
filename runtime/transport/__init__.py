"""What processes exchange: stubs and desks, in shared memory and by messages."""
