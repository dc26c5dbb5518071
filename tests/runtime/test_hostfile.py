"""Names of hosts, as they are given, and who runs where."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import hosts
from runtime.hosts import Host
from runtime.job import Job
from runtime.supervisor import launcher
from singac.diagnostics import Exit, Failed, show


def test_hosts_and_their_slots() -> None:
    assert hosts.parse("a:4,b") == (Host("a", 4), Host("b", 1))


def test_a_file_of_hosts_has_comments_and_two_ways_to_write_slots(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# ours\na:2\n\n  node-1.example slots=3  # the large one\nb\n")
    assert hosts.read_file(str(file)) == (Host("a", 2), Host("node-1.example", 3), Host("b", 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:4,,b", "this is no host\n  --> -H:1:5"),
        ("", "this is no host\n  --> -H:1:1"),
        ("a:0", "this is no host\n  --> -H:1:1"),
        ("a,-oProxyCommand=x", "this is no host\n  --> -H:1:3"),
        ("a:2,b:2,a:1", "a is named twice\n  --> -H:1:9"),
    ],
)
def test_what_is_no_host(text: str, told: str) -> None:
    with pytest.raises(Failed) as failure:
        hosts.parse(text)
    assert failure.value.exit is Exit.USAGE
    assert show(failure.value.diagnostics).startswith(f"error[SG0930]: {told}")


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("a:2\nb four\n")
    with pytest.raises(Failed) as failure:
        hosts.read_file(str(file))
    assert f"--> {file}:2:1" in show(failure.value.diagnostics)


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"\xff\xfe"])
def test_a_file_without_hosts(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Failed) as failure:
        hosts.read_file(str(file))
    assert failure.value.exit is Exit.ENVIRONMENT


def test_too_few_slots_are_told_with_both_numbers() -> None:
    with pytest.raises(Failed) as failure:
        hosts.check_slots(hosts.parse("a:2,b"), 5)
    assert failure.value.exit is Exit.ENVIRONMENT
    message = failure.value.diagnostics[0].message
    assert message == "the run has 5 processes and the hosts have 3 slots: a:2, b:1"


def test_hosts_are_filled_in_their_order() -> None:
    given = hosts.parse("a:2,b:3,c:4")
    assert hosts.used(given, 4) == (Host("a", 2), Host("b", 2))
    assert [hosts.host_of(given, rank) for rank in range(6)] == ["a", "a", "b", "b", "b", "c"]


def test_the_launcher_is_told_the_hosts_and_how_they_are_reached() -> None:
    job = Job("plan", "data", "/run", 3, hosts=(("a", 2), ("b", 4)), launcher_exec="/bin/rsh")
    command = launcher.command("mpiexec", job)
    where = ["-launcher", "ssh", "-launcher-exec", "/bin/rsh", "-hosts", "a:2,b:1"]
    assert command[1 : 1 + len(where)] == where
    assert command[command.index("-n") + 1] == "3"
    alone = launcher.command("mpiexec", Job("plan", "data", "/run", 3))
    assert alone[1:3] == ["-launcher", "fork"]
