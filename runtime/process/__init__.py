"""One process of a job: its worker, its server, and what they live from."""
