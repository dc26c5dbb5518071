"""A small kill loop; the large one is `make campaign-kill`."""

from __future__ import annotations

import random
from pathlib import Path

import kills
import pytest


@pytest.mark.slow
def test_a_job_survives_five_kills(tmp_path: Path) -> None:
    tally = kills.Tally()
    expected = kills.undisturbed(tmp_path / "whole")
    chance = random.Random(7)
    while tally.kills < 5:
        folder = tmp_path / str(tally.jobs)
        kills.disturb(folder, 5 - tally.kills, chance, expected, tally)
