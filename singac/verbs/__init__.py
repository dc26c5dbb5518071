"""What the verbs of the command line do; each imports what it needs when it runs."""
