"""Hosts on one machine: namespaces with an address, a name, processes and /dev/shm of their own.

    host a: eth0 10.77.0.1 --+
    host b: eth0 10.77.0.2 --+-- bridge, in a namespace that is no host
    host c: eth0 10.77.0.3 --+

The first process of a host is a remote shell; when it is killed all others of the host are. Nothing
of the machine's own network is touched, and all of it goes when the first processes have ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SHELL = Path(__file__).with_name("remote_shell.py")
KINDS = ("--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc")
START_SECONDS = 10
MEBIBYTES = 256  # of /dev/shm


def unavailable() -> str | None:
    """Why hosts cannot be made here, or None: they can."""
    if os.geteuid() != 0:
        return "namespaces are made by root"
    for program in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    tried = subprocess.run(
        ["unshare", *KINDS, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tried.stderr.strip() or None


class Cluster:
    """Hosts that see each other by name; to be closed."""

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self.names, self._folder = tuple(names), folder
        self._addresses = {name: f"10.77.0.{k + 1}" for k, name in enumerate(names)}
        known = "".join(f"{at} {name}\n" for name, at in self._addresses.items())
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + known)
        self.shell = folder / "rsh"
        self.shell.write_text(f'#!/bin/sh\nexec {sys.executable} {SHELL} "$@"\n')
        self.shell.chmod(0o755)
        self._firsts: dict[str, subprocess.Popen[bytes]] = {}
        self._switch = _start("exec sleep infinity")
        _inside(self._switch, "ip link add bridge type bridge && ip link set bridge up")
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        """Switch a host on; also again, after it was killed."""
        hosts = self._folder / "hosts"
        first = self._firsts[name] = _start(
            f"hostname {name} && mount -t tmpfs -o size={MEBIBYTES}m tmpfs /dev/shm"
            f" && mount --bind {hosts} /etc/hosts && exec {sys.executable} {SHELL} serve"
        )
        port = f"to-{name}"
        switch = _pid(self._switch)
        # The same card as before: the others may remember it.
        card = f"02:00:00:00:00:{self.names.index(name):02x}"
        own = f"eth0 address {card} netns {_pid(first)}"
        _ip(f"link add {own} type veth peer name {port} netns {switch}")
        _inside(self._switch, f"ip link set {port} master bridge && ip link set {port} up")
        at = f"{self._addresses[name]}/24"
        _inside(first, f"ip link set lo up && ip addr add {at} dev eth0 && ip link set eth0 up")
        self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        stop = time.monotonic() + START_SECONDS
        while subprocess.run(
            self.on(name, [str(self.shell), name, "true"]), capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < stop, f"host {name} does not start"
            time.sleep(0.05)

    def on(self, name: str, command: Sequence[str]) -> list[str]:
        """A command that is run on a host, in the folder it is given in."""
        return [*_enter(self._firsts[name]), "--wd=.", *command]

    def link(self, name: str, state: str) -> None:
        """Cut the link of a host (`down`), or mend it (`up`)."""
        _inside(self._switch, f"ip link set to-{name} {state}")

    def kill(self, name: str) -> None:
        """End all processes of a host at once."""
        _kill(self._firsts.pop(name))

    def put(self, name: str, there: Path, instead: Path) -> None:
        """Let a host see another file or folder where all see one."""
        _inside(self._firsts[name], f"mount --bind '{instead}' '{there}'")

    def end(self, name: str, words: str, number: int) -> None:
        """Send a signal to the first process of a host whose command line has the words in it."""
        _inside(self._firsts[name], f"kill -{number} $(pgrep -f '{words}' | head -n 1)")

    def sent(self, name: str) -> int:
        """Bytes that have left a host."""
        text = _inside(self._firsts[name], "cat /sys/class/net/eth0/statistics/tx_bytes")
        return int(text)

    def processes(self, name: str, words: str) -> list[str]:
        """Command lines on a host that have the words in them."""
        lines = _inside(self._firsts[name], "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo")
        return [line for line in lines.splitlines() if words in line]

    def shared_files(self, name: str) -> list[str]:
        return _inside(self._firsts[name], "ls /dev/shm").split()

    def close(self) -> None:
        for name in [*self._firsts]:
            self.kill(name)
        _kill(self._switch)


def _start(script: str) -> subprocess.Popen[bytes]:
    """The first process of new namespaces, a child of the one that made them; it ends with us."""
    started = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", *KINDS, "--kill-child", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    stop = time.monotonic() + START_SECONDS
    while not _children(started.pid):
        assert time.monotonic() < stop, "no namespace was made"
        time.sleep(0.01)
    return started


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def _pid(first: subprocess.Popen[bytes]) -> str:
    return _children(first.pid)[0]


def _enter(first: subprocess.Popen[bytes]) -> list[str]:
    kinds = ("--net", "--uts", "--ipc", "--mount", "--pid")
    return ["nsenter", "--target", _pid(first), *kinds]


def _inside(first: subprocess.Popen[bytes], script: str) -> str:
    done = subprocess.run(
        [*_enter(first), "sh", "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def _kill(first: subprocess.Popen[bytes]) -> None:
    first.kill()
    first.wait()
