"""The side channel: who may speak on it, how long a line may be, by which address it is found."""

from __future__ import annotations

import os
import socket
import time

import pytest

from runtime import channel
from runtime.channel import HELLO_LIMIT, Line, Listener, Message, Peer


def greeted(listener: Listener) -> Peer:
    stop = time.monotonic() + 5
    while (peer := listener.accept()) is None:
        assert time.monotonic() < stop, "nobody has come"
    return peer


def heard(peer: Peer) -> list[Message]:
    """What comes first; nothing when the connection is given up instead."""
    found: list[Message] = []
    stop = time.monotonic() + 5
    while not found and peer.open and time.monotonic() < stop:
        found += peer.messages()
    return found


def stranger(listener: Listener, said: bytes) -> Peer:
    _, port, _ = listener.address.split(":")
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.sendall(said)
        peer = greeted(listener)
        assert heard(peer) == []
        return peer


@pytest.mark.parametrize("said", [b"x" * (HELLO_LIMIT + 1), b"[1, 2]\n", b"\xff\xfe\n", b"{\n"])
def test_a_stranger_is_not_listened_to_for_long(said: bytes) -> None:
    assert not stranger(Listener(), said).open


def test_a_process_finds_its_supervisor_by_the_address_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody listens at the first of the two: it belongs to this machine, the port does not.
    listener = Listener(["127.0.0.1"])
    known, port, token = listener.address.split(":")
    monkeypatch.setenv(channel.VARIABLE, f"127.0.0.2,{known}:{port}:{token}")
    line = Line(3, lambda: {"event": "standing"}, lambda: None, lambda: None)
    hello, *_ = heard(greeted(listener))
    assert listener.admits(hello)
    assert (hello["rank"], hello["pid"]) == (3, os.getpid())
    assert not listener.admits(hello | {"token": "another"})
    assert not line.stop_asked
