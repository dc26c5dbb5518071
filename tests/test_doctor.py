"""`singac doctor` finds what a run would stumble over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.job import Job
from runtime.supervisor import doctor
from singac.cli import main


def test_a_sound_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-np", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    found = {finding["name"]: finding["found"] for finding in told["findings"]}
    assert found["processes"] == "2 have met"
    assert "MPICH" in found["MPI library"]


def test_more_processes_than_shared_memory_has_room_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor.shared_memory, "free", lambda: 10**6)
    (tmp_path / "file").write_text("")
    findings = doctor.examine(Job("", "", "", 4), str(tmp_path / "cache"), str(tmp_path / "file"))
    assert doctor.exit_code(findings) == 3
    bad = {f.name: f for f in findings if not f.is_well}
    assert list(bad) == ["processes", "shared memory", "run folder"]
    assert "needs 4.0 MiB" in bad["shared memory"].found
    assert f"help: {bad['run folder'].help}" in doctor.as_text(findings)
