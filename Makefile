# What CI runs, and the slow campaigns that it does not.

PYTHON ?= python3

.PHONY: check test test-slow lint bench bench-kernels fuzz schema campaign-kill campaign-failures campaign-async \
        campaign-partition campaign-checkpoints campaign-hosts campaign-sooner

check: lint test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n auto tests

# What the tests leave out: larger nets, longer runs, many more random cases. A few minutes.
test-slow:
	$(PYTHON) -m pytest -n auto -m slow tests

# Training against PyTorch and JAX, taking turns on two cores; needs the extra `bench`.
bench:
	$(PYTHON) -m bench

# Our matrix products against NumPy's OpenBLAS, taking turns on one core.
bench-kernels:
	$(PYTHON) -m bench.kernels

# Ten times as many mutated programs as the tests.
fuzz:
	$(PYTHON) -m tests.fuzz --count 100000

# The published JSON Schema of plans, after a change of their dataclasses.
schema:
	$(PYTHON) -m singac.plan.schema

# Random nets cut at random, trained by real processes, each against one worker; an hour on two cores.
campaign-partition:
	$(PYTHON) -m tests.partition.campaign 2000

# A hundred processes killed at random; every job must end as if nothing had been.
campaign-kill:
	PYTHONPATH=.:tests/runtime $(PYTHON) -m kills --scene any --count 100
	for scene in start saving trains groups supervisor; do \
	    PYTHONPATH=.:tests/runtime $(PYTHON) -m kills --scene $$scene --count 20 || exit 1; done

# Every kind of process fails in every way, on 1 to 8 processes: soon over, well told, nothing left.
campaign-failures:
	PYTHONPATH=.:tests/runtime $(PYTHON) -m campaign_failures --count 20

# Crashes at every point of a writing, and a thousand damaged checkpoints.
campaign-checkpoints:
	PYTHONPATH=.:tests/runtime $(PYTHON) -m tests.campaign_checkpoints --damages 1000

# What asynchronous groups reach beside one synchronous worker, for ten seeds.
campaign-async:
	$(PYTHON) -m tests.campaign_async models/mlp.singa --seeds 10
	$(PYTHON) -m tests.campaign_async tests/fashion_small.singa --seeds 10

# Whether two asynchronous groups reach 0.85 on Fashion-MNIST sooner than one worker; two cores.
campaign-sooner:
	$(PYTHON) -m tests.campaign_sooner models/lenet.singa \
	    --set "train.updater=SGD(rate = 0.005, momentum = 0.9)"

# Four hosts of four processes, as namespaces (root): same numbers, lost links and hosts noticed in time.
campaign-hosts:
	PYTHONPATH=.:tests/runtime $(PYTHON) -m campaign_hosts
