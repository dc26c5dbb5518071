"""A remote shell for hosts that are namespaces: what ssh is to real ones, without its keys.

`serve` runs as the first process of a host: it runs what it is sent, reaps what is orphaned, and
all processes of the host end with it. `[OPTION...] HOST WORD...` is the other end.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys

PORT = 22
ANSWER_SECONDS = 5


def serve() -> None:
    def reap(*_: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap)
    listener = socket.create_server(("", PORT))
    while True:
        connection, _ = listener.accept()
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), connection)
        subprocess.Popen(["sh", "-c", line.decode()], start_new_session=True, **ends)
        connection.close()


def ask(host: str, words: list[str]) -> None:
    """Run a command there; this end is its standard input and output."""
    try:
        connection = socket.create_connection((host, PORT), ANSWER_SECONDS)
    except OSError as error:
        sys.exit(f"connect to host {host}: {error}")
    connection.settimeout(None)
    connection.sendall(" ".join(words).encode() + b"\n")
    selector = selectors.SelectSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(connection, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            chunk = os.read(key.fd, 1 << 16)
            if key.fileobj is connection:
                if not chunk:
                    return
                os.write(1, chunk)
            elif chunk:
                connection.sendall(chunk)
            else:
                selector.unregister(0)
                connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "-x"]
    serve() if words == ["serve"] else ask(words[0], words[1:])
