# The project's own Node is first on the PATH: a machine's older one only runs npm.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SHELL := /bin/bash
.DEFAULT_GOAL := help

INSTALLED := node_modules/.installed
PKI := .dev/pki
PORT ?= 8443

# Where the image goes, and what it is called: DH_USER is the Docker Hub user.
DH_USER ?=
IMAGE ?= $(if $(DH_USER),docker.io/$(DH_USER)/kube-resource-api,localhost/kube-resource-api)
TAG ?= $(shell git describe --tags --always --dirty 2>/dev/null | sed 's/^v//')

# What is installed, where to, and with which values.
RELEASE ?= kube-resource-api
NAMESPACE ?= kube-resource-api
VALUES ?= deploy/helm/example-values.yaml
CHART := deploy/helm/kube-resource-api
HELM ?= $(or $(shell command -v helm),$(wildcard .dev/tools/helm),helm)
HELM_VALUES = --values $(VALUES) $(if $(DH_USER),--set image.repository=$(IMAGE) --set image.tag=$(TAG))

# The demo's cluster and certificates come with a policy. Another cluster, or whoever says what decides, gets none.
DEMO_POLICY := $(if $(filter embedded,$(or $(KUBE_SOURCE),embedded)),$(if $(AUTHORIZATION)$(POLICY_FILE),,deploy/demo/policy.yaml))

.PHONY: help setup certs run dev check format test check-deploy e2e probe docs bench build audit sbom docker push_docker \
  create_cluster delete_cluster install upgrade uninstall release clean

help: ## List every target with what it does
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9_-]+):.*## (.*)/\1\t\2/' | awk -F '\t' '{printf "  %-15s %s\n", $$1, $$2}'

$(INSTALLED): package.json package-lock.json
	npm ci --loglevel=error
	@touch $@

setup: $(INSTALLED) ## Install what the project needs, from the lock file alone

certs: ## Make development certificates in .dev/pki (kept while they are valid); SERVER_NAMES=a,b adds names to the server's
	@SERVER_NAMES=$(SERVER_NAMES) scripts/pki.sh $(PKI)

run: $(INSTALLED) certs ## Serve the embedded demo cluster on PORT (8443), or the one KUBE_SOURCE names, and print curl lines
	@EXAMPLES_DIR=$${EXAMPLES_DIR:-$(PKI)} \
	KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} LOG_FORMAT=$${LOG_FORMAT:-pretty} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node src/main.ts

dev: setup certs ## Like run, and start again whenever a source file changes
	@KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} DRAIN_PERIOD=$${DRAIN_PERIOD:-0s} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node --watch src/main.ts

check: setup ## Check types, lint and format
	npm run --silent check

format: setup ## Format every file
	npm run --silent format

test: check ## Check, then run every test
	npm test --silent

check-deploy: setup ## Check image, chart, alert rules and dashboard with the real tools: buildah, Helm, promtool, Prometheus
	scripts/deploy-tools.sh
	scripts/prometheus.sh .dev/prometheus
	vitest run --config vitest.deploy.config.ts

e2e: setup ## Walk every row of the contract against the service at E2E_URL and the cluster of KUBECONFIG, in namespaces of its own
	@E2E_URL=$${E2E_URL:-https://localhost:$(PORT)} E2E_CA_FILE=$${E2E_CA_FILE:-$(PKI)/ca.crt} \
	E2E_CERT_FILE=$${E2E_CERT_FILE:-$(PKI)/admin.crt} E2E_KEY_FILE=$${E2E_KEY_FILE:-$(PKI)/admin.key} \
	E2E_DENIED_CERT_FILE=$${E2E_DENIED_CERT_FILE-$(PKI)/nobody.crt} E2E_DENIED_KEY_FILE=$${E2E_DENIED_KEY_FILE-$(PKI)/nobody.key} \
	node src/e2e/main.ts

probe: setup ## Run the synthetic queries once against a service that `make run` started
	@PROBE_URL=$${PROBE_URL:-https://localhost:$(PORT)} PROBE_CA_FILE=$${PROBE_CA_FILE:-$(PKI)/ca.crt} \
	PROBE_CERT_FILE=$${PROBE_CERT_FILE:-$(PKI)/admin.crt} PROBE_KEY_FILE=$${PROBE_KEY_FILE:-$(PKI)/admin.key} \
	node src/probe/main.ts

docs: setup ## Write the tables of settings in docs/ from the settings' own descriptions
	node scripts/configuration.ts && prettier --write --log-level warn docs/configuration.md docs/observability.md

bench: $(addprefix bench-,reads frameworks handshakes sync freshness writes growth memory start parts authorization hostile) ## Run every benchmark (BENCH_QUICK=1: only to see that they work); bench-NAME runs one of bench/

bench-%: setup
	@scripts/pki.sh .dev/test-pki faulty
	@node --expose-gc bench/$*.ts

build: setup ## Bundle the programs into dist/: node dist/main.js needs nothing else
	node scripts/bundle.ts

audit: setup ## Look the dependencies up in npm's register of known vulnerabilities
	npm audit

sbom: setup ## Write the software bill of materials (CycloneDX) to dist/sbom.json
	@mkdir -p dist
	npm sbom --sbom-format cyclonedx --sbom-type application > dist/sbom.json

docker: ## Build the image IMAGE:TAG, with Docker or buildah; the same commit gives the same layers
	scripts/image.sh build $(IMAGE):$(TAG)

push_docker: ## Build the image and push it to Docker Hub as DH_USER/kube-resource-api, tagged after the commit; not from a dirty tree
	@[ -n "$(DH_USER)" ] || { echo "Set DH_USER to your Docker Hub user name." >&2; exit 1; }
	@[ -z "$$(git status --porcelain)" ] || { echo "The tree is dirty: what is pushed must be a commit. Commit or stash first." >&2; exit 1; }
	scripts/image.sh build $(IMAGE):$(TAG)
	scripts/image.sh push $(IMAGE):$(TAG)

create_cluster: ## Make the EKS cluster of deploy/eks/cluster.yaml in AWS_REGION (us-west-2) and point kubectl at it
	@scripts/eks.sh create

delete_cluster: ## Delete that EKS cluster and all that is in it; asks first
	@scripts/eks.sh delete

install: ## Install the chart as RELEASE into NAMESPACE, with VALUES, and wait until it is ready
	$(HELM) install $(RELEASE) $(CHART) --namespace $(NAMESPACE) --create-namespace $(HELM_VALUES) --wait

upgrade: ## Upgrade RELEASE to this chart and VALUES, one pod after the other; back to what was if it does not get ready
	$(HELM) upgrade $(RELEASE) $(CHART) --namespace $(NAMESPACE) $(HELM_VALUES) --rollback-on-failure --wait

uninstall: ## Uninstall RELEASE
	$(HELM) uninstall $(RELEASE) --namespace $(NAMESPACE) --wait

release: setup ## Make release VERSION: number, changelog, tag, bill of materials, image and chart package in dist/
	scripts/release.sh $(VERSION)
	@$(MAKE) --no-print-directory build sbom
	scripts/image.sh build $(IMAGE):$(VERSION)
	scripts/deploy-tools.sh
	$(HELM) package $(CHART) --destination dist
	@echo "Look it over, then: git push origin main v$(VERSION)"

clean: ## Remove what was installed and made
	rm -rf node_modules test/deploy/node_modules .dev dist
