"""Small kill loops; the large ones are `make campaign-kill`."""

from __future__ import annotations

import random
from pathlib import Path

import kills
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "count"), [("any", 5), ("start", 2), ("saving", 2), ("trains", 2), ("groups", 2)]
)
def test_a_job_survives_kills(name: str, count: int, tmp_path: Path) -> None:
    scene, tally, folder = kills.SCENES[name], kills.Tally(), tmp_path / "whole" / "job"
    expected = kills.undisturbed(scene, folder)
    chance = random.Random(7)
    while tally.kills < count:
        folder = tmp_path / str(tally.jobs) / "job"
        kills.disturb(scene, folder, count - tally.kills, chance, expected, tally)


def test_another_run_resumes_when_the_supervisor_was_killed(tmp_path: Path) -> None:
    expected = kills.undisturbed(kills.SCENES["any"], tmp_path / "whole" / "job")
    kills.orphan(tmp_path / "job", random.Random(3), expected)
