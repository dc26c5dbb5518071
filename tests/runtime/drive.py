"""`python drive.py JOB`: what `singac run` does once it has a plan."""

import sys

from runtime import job, launch

sys.exit(launch.run(job.read(sys.argv[1])))
