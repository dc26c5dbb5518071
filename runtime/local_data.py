"""Where a host has the prepared data of a job."""

from __future__ import annotations

import os

from runtime.job import Job


def data_folder(job: Job) -> str:
    """The prepared data on this host; prepares it where it never was. Raises Failed."""
    if os.path.isdir(job.data_folder) or job.request is None:
        return job.data_folder
    from singac.sources.kind import request_from_json
    from singac.sources.prepare import prepare, prepared
    from singac.sources.probe import facts_of

    request, cache = request_from_json(job.request), os.path.dirname(job.data_folder)
    return prepared(request, cache) or prepare(request, facts_of(request), cache)
