"""`python drive.py JOB`: what `singac run` does once it has a plan."""

import os
import sys

from runtime import job
from runtime.supervisor import launch, launcher

if "LAUNCHER" in os.environ:
    launcher.find = lambda: os.environ["LAUNCHER"]  # type: ignore[assignment]

sys.exit(launch.run(job.read(sys.argv[1])))
