"""What is wrong with the machine or the MPI installation, as a process finds it."""

from __future__ import annotations


class EnvironmentFailure(Exception):
    """The run cannot start here, or not end; `help` says what to change."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.message, self.help = message, help
