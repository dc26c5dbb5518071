"""The framework that a topology amounts to: recognised and named, never switched on.

| worker groups | server groups      | where                         | framework           |
|---------------|--------------------|-------------------------------|---------------------|
| 1             | 1                  | one beside each worker        | AllReduce           |
| 1             | 1                  | fewer, or separate            | Sandblaster         |
| several       | 1                  | threads of one process        | in-memory Hogwild   |
| several       | 1                  | any other                     | Downpour            |
| several       | one a worker group | beside the workers            | Distributed Hogwild |
| any other                                                          | hybrid              |
"""

from __future__ import annotations

from dataclasses import replace

from singac.model.types import Topology


def named(topology: Topology) -> Topology:
    """The topology with the name of its framework."""
    return replace(topology, framework=framework_of(topology))


def framework_of(topology: Topology) -> str:
    one_group = topology.worker_groups == 1 and topology.server_groups == 1
    if one_group:
        beside = topology.servers == topology.workers and not topology.separate
        return "AllReduce" if beside else "Sandblaster"
    if topology.server_groups == 1:
        return "in-memory Hogwild" if topology.processes == 1 else "Downpour"
    if topology.server_groups == topology.worker_groups and not topology.separate:
        return "Distributed Hogwild"
    return "hybrid"
