.DEFAULT_GOAL := help
.PHONY: help setup demo down reset test test-unit test-chart test-integration test-e2e fault fault-mutations screenshots fmt lint check lock chart-docs bench images push kind kind-down

# Images for development often set it, and then every process compiles the packages that it imports again.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := .venv/bin/python -m pytest

help: ## Show this list.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-17s %s\n", $$1, $$2}'

setup: ## Create .venv from the hashed requirements; does nothing if they have not changed.
	@scripts/setup

demo: setup ## Run the platform on this machine; ONCE=1 exits after the first batch, MONITORING=1 adds Prometheus, SOURCE=live or RECORDED=folder selects the input.
	@.venv/bin/insights demo $(if $(ONCE),--once) $(if $(SOURCE),--source '$(SOURCE)') $(if $(RECORDED),--recorded '$(RECORDED)') $(if $(MONITORING),--monitoring)

down: setup ## Stop a running demo from another terminal.
	@.venv/bin/insights down

reset: setup ## Delete the demo's state, after a confirmation.
	@.venv/bin/insights reset

test: test-unit test-chart test-integration test-e2e ## Run every test.

test-unit: setup ## Run the tests that need no server.
	@$(PYTEST) tests/unit -n 2

test-chart: setup ## Render the charts and check the manifests.
	@$(PYTEST) tests/chart -n 2 --dist loadfile

FAILPOINTS := tests/fault/test_failpoints.py tests/fault/test_failpoints_migration.py

test-integration: setup ## Run the tests against real PostgreSQL, Kafka, Cassandra and Spark, and crash in every narrow window.
	@$(PYTEST) $(FAILPOINTS) tests/integration -n 2 --dist loadfile --durations=20

test-e2e: setup ## Kill the demo's processes, test it in a browser, and the chart on a kind cluster if there is one.
	@SEED=$(or $(SEED),50) $(PYTEST) tests/fault/test_kills.py tests/e2e --durations=20

fault: setup ## Run the fault tests alone: crash in every narrow window, kill at random; KILLS=number, SEED=number.
	@$(if $(KILLS),KILLS=$(KILLS)) $(if $(SEED),SEED=$(SEED)) $(PYTEST) tests/fault --durations=10

fault-mutations: setup ## Switch each protection off and run the test that must fail; ONLY=name for one.
	@.venv/bin/python -m tests.fault.mutations $(ONLY)

screenshots: setup ## Draw every page of the dashboard in both themes into docs/images/dashboard.
	@PICTURES=docs/images/dashboard $(PYTEST) tests/integration/test_dashboard_browser.py -k "drawn and 1280"

fmt: setup ## Format the code and apply the linter's safe fixes.
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

lint: setup ## Check format, style and types.
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

# Excludes the tests that start Spark or render the dashboard's pages.
QUICK := tests/unit --ignore=tests/unit/stream/spark --ignore=tests/unit/dashboard/views --ignore=tests/unit/dashboard/test_auth.py

check: lint ## Run what every commit must pass: lint, generated files and the quick unit tests; under 3 minutes on 2 cores.
	@.venv/bin/python scripts/chart_docs.py --check
	@.venv/bin/python -m scripts.grafana_dashboards --check
	@$(PYTEST) $(QUICK) -n 2

lock: setup ## Resolve requirements/*.in and the servers' jars again, and rewrite the lock files.
	@scripts/lock
	@.venv/bin/python -m insights.local.jars --lock
	@.venv/bin/python -m benchmarks.peers.environment --lock

chart-docs: setup ## Generate the chart's values.schema.json, the table of values in its README, and the Grafana dashboards.
	@.venv/bin/python scripts/chart_docs.py
	@.venv/bin/python -m scripts.grafana_dashboards

bench: setup ## Run the benchmarks and generate docs/performance.md; SMALL=1 takes about 10 minutes, ONLY="leg ..." runs these.
	@.venv/bin/python -m benchmarks $(if $(SMALL),--small) $(if $(ONLY),--only $(ONLY))

TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

IMAGES := airflow publisher spark dashboard

images: $(IMAGES:%=image-%) ## Build the images; TAG=name replaces the version, EXTRA_JARS=object-store adds S3 to Spark, LOGS=s3 to Airflow.

image-spark: ARGUMENTS := --build-arg EXTRA_JARS=$(EXTRA_JARS)
image-airflow: ARGUMENTS := --build-arg LOGS=$(LOGS)
image-%:
	@docker build --quiet --network host $(ARGUMENTS) -f images/$*/Dockerfile -t user-insights/$*:$(TAG) . >/dev/null
	@docker image inspect -f '{{.Size}}' user-insights/$*:$(TAG) | \
	  awk '{printf "%-32s %5.0f MB\n", "user-insights/$*:$(TAG)", $$1 / 1e6}'

push: ## Build the images and push them to REGISTRY=registry.example.org/team; TAG, EXTRA_JARS and LOGS as above.
	$(if $(REGISTRY),,$(error REGISTRY is not set: name the registry to push to, as in `make push REGISTRY=registry.example.org/team`))
	@$(MAKE) --no-print-directory images
	@for name in $(IMAGES:%=user-insights/%:$(TAG)); do \
	  docker tag $$name $(REGISTRY:/=)/$$name && docker push --quiet $(REGISTRY:/=)/$$name || exit 1; \
	done
	@echo "Install them with --set images.registry=$(REGISTRY:/=) --set images.tag=$(TAG)"

kind: ## Install or upgrade the whole platform on a kind cluster; CLUSTER=name replaces user-insights.
	@scripts/kind up

kind-down: ## Delete the kind cluster and all its data.
	@scripts/kind down
