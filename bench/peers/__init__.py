"""The peers: each a process that trains the same net in another framework, turn by turn."""
