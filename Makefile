# The project's own Node is first on the PATH: a machine's older one only runs npm.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SHELL := /bin/bash
.DEFAULT_GOAL := help

INSTALLED := node_modules/.installed
PKI := .dev/pki
PORT ?= 8443

# The demo's cluster and certificates come with a policy. Another cluster, or whoever says what decides, gets none.
DEMO_POLICY := $(if $(filter embedded,$(or $(KUBE_SOURCE),embedded)),$(if $(AUTHORIZATION)$(POLICY_FILE),,deploy/demo/policy.yaml))

.PHONY: help install certs run dev check check-deploy probe format test docs bench audit sbom clean

help: ## List every target with what it does
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z_-]+):.*## (.*)/\1\t\2/' | awk -F '\t' '{printf "  %-10s %s\n", $$1, $$2}'

$(INSTALLED): package.json package-lock.json
	npm ci --loglevel=error
	@touch $@

install: $(INSTALLED) ## Install what the project needs, from the lock file alone

certs: ## Make development certificates in .dev/pki (kept while they are valid)
	@scripts/pki.sh $(PKI)

run: $(INSTALLED) certs ## Serve the embedded demo cluster on PORT (8443), or the one KUBE_SOURCE names, and print curl lines
	@EXAMPLES_DIR=$${EXAMPLES_DIR:-$(PKI)} \
	KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} LOG_FORMAT=$${LOG_FORMAT:-pretty} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node src/main.ts

dev: install certs ## Like run, and start again whenever a source file changes
	@KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} DRAIN_PERIOD=$${DRAIN_PERIOD:-0s} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node --watch src/main.ts

check: install ## Check types, lint and format
	npm run --silent check

format: install ## Format every file
	npm run --silent format

test: check ## Check, then run every test
	npm test --silent

check-deploy: install ## Check rules and dashboard with the real tools: promtool, Prometheus
	scripts/prometheus.sh .dev/prometheus
	vitest run --config vitest.deploy.config.ts

probe: install ## Run the synthetic queries once against a service that `make run` started
	@PROBE_URL=$${PROBE_URL:-https://localhost:$(PORT)} PROBE_CA_FILE=$${PROBE_CA_FILE:-$(PKI)/ca.crt} \
	PROBE_CERT_FILE=$${PROBE_CERT_FILE:-$(PKI)/admin.crt} PROBE_KEY_FILE=$${PROBE_KEY_FILE:-$(PKI)/admin.key} \
	node src/probe/main.ts

docs: install ## Write the tables of settings in docs/ from the settings' own descriptions
	node scripts/configuration.ts && prettier --write --log-level warn docs/configuration.md docs/observability.md

bench: bench-memory bench-freshness bench-observability bench-authorization bench-security bench-hostile ## Run every benchmark; bench-NAME runs one of bench/

bench-%: install
	@scripts/pki.sh .dev/test-pki faulty
	node --expose-gc bench/$*.ts

audit: install ## Look the dependencies up in npm's register of known vulnerabilities
	npm audit

sbom: install ## Write the software bill of materials (CycloneDX) to dist/sbom.json
	@mkdir -p dist
	npm sbom --sbom-format cyclonedx --sbom-type application > dist/sbom.json

clean: ## Remove what was installed and made
	rm -rf node_modules .dev dist
