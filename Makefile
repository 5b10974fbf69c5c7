# Everything a person or a workflow does with this repository. `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# uv is taken from PATH, or brought into .local/uv by pip when there is none.
UV_VERSION := 0.13.9
export UV := $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.local/uv/bin/uv)
PYTHON ?= python3

# Looks at what the charts render, from an environment of its own: it wants other versions of what Dagster wants.
CHECKOV := checkov==3.3.30

# Without compiled bytecode every process and every run compiles Dagster anew: 3 s instead of 0.7 s each.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV

# Passed on to the commands below when they are given: make up ONLY=fleet-aircraft PORT=3100
export ONLY PORT DAYS SPEED CHAOS SEED

TENANCY := .venv/bin/tenancy
RUN := $(UV) run --no-sync

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## play DAYS (14) days of real data and compare every item with the assets; CHAOS=1 kills processes meanwhile
	@$(TENANCY) demo

.PHONY: up
up: setup ## run the platform at http://127.0.0.1:3000 until Ctrl-C; ONLY=fleet-aircraft PORT=3100 DAYS=365 SPEED=20
	@$(TENANCY) up

.PHONY: test
test: sync setup ## run the tests that need no cluster; PYTEST="-k ledger -x" chooses some
	@$(RUN) pytest $(PYTEST)

.PHONY: soak
soak: sync setup ## let ROUNDS (100) faults happen to daemon, code server, runs and Postgres, and compare; SEED=1 repeats
	@$(RUN) python -m libs.sensor_assets.tests.soak $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

.PHONY: histories
histories: sync setup ## play HISTORIES (1000) random histories of the protocol, and as many of joins, over a real ledger
	@HISTORIES=$(or $(HISTORIES),1000) $(RUN) pytest -q libs/sensor_assets/tests/test_protocol.py libs/sensor_assets/tests/test_protocol_joins.py -k whatever

.PHONY: lint
lint: sync setup lint-charts ## check code, types, YAML, workflows, charts, the register and what is derived from it
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) pyright
	@$(RUN) tenancy check
	@$(RUN) tenancy render --check
	@$(RUN) yamllint --strict .
	@$(RUN) zizmor --offline --quiet --persona pedantic .github
	@$(RUN) shellcheck .ci/run tests/e2e/images/build tests/e2e/images/postgres/entrypoint
	@$(RUN) hadolint images/*/Dockerfile tests/e2e/images/*/Dockerfile
	@for project in . images/shared images/platform code_locations/*/*; do $(UV) lock --check --quiet --project $$project || exit 1; done

.PHONY: images
images: ## build all images, or ONLY one, push them to REGISTRY and write their digests to .local/images.yaml
	@$(PYTHON) images/build $(ONLY)

.PHONY: e2e
e2e: sync images ## build the images and test all of it on the cluster of the current kubeconfig context; E2E="-k quota" chooses
	@tests/e2e/images/build
	@$(RUN) pytest tests/e2e $(E2E)

.PHONY: lint-charts
lint-charts: sync ## let checkov look at every object of every environment; tests/helm/checkov.yaml has the skips
	@rm -rf .local/manifests
	@$(RUN) python -m tests.helm.manifests .local/manifests
	@$(UV) tool run --quiet --from $(CHECKOV) checkov --directory .local/manifests --framework kubernetes \
		--skip-download --quiet --soft-fail --output json > .local/checkov.json
	@$(RUN) python -m tests.helm.findings .local/checkov.json

.PHONY: bench
bench: sync ## measure all that the docs claim, some hours, and write docs/reference/benchmarks.md; BENCH="losses" chooses
	@$(RUN) python -m bench $(BENCH)

.PHONY: format
format: sync ## format the code and write the derived files
	@$(RUN) ruff check --fix --quiet .
	@$(RUN) ruff format --quiet .
	@$(RUN) tenancy render
	@$(RUN) python -m sensor_assets.component._schema
	@$(RUN) python -m tests.api_reference

.PHONY: setup
setup: .venv/.setup ## install the platform and the environment of every location
	@$(TENANCY) setup

.PHONY: sync
sync: $(UV) ## install the tools for tests and linting
	@$(UV) sync --frozen --quiet

.PHONY: clean
clean: ## remove the local platform's state and every environment
	rm -rf .local .venv code_locations/*/*/.venv code_locations/*/*/.env

# --inexact: the tools for tests stay when they are there already.
.venv/.setup: pyproject.toml uv.lock $(wildcard libs/*/pyproject.toml) $(UV)
	@echo "installing the platform"
	@$(UV) sync --frozen --inexact --no-dev --quiet
	@touch $@

$(CURDIR)/.local/uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "installing uv"
	@$(PYTHON) -m venv $(CURDIR)/.local/uv || { echo "python3 cannot make an environment: on Debian or Ubuntu install python3-venv" >&2; exit 1; }
	@$(CURDIR)/.local/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
