# The project's Node comes first on the PATH; the machine's, which may be older, only runs npm.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SHELL := /bin/bash
.DEFAULT_GOAL := help

INSTALLED := node_modules/.installed
PKI := .dev/pki
PORT ?= 8443

# The image. DH_USER is the Docker Hub user.
DH_USER ?=
IMAGE ?= $(if $(DH_USER),docker.io/$(DH_USER)/kube-resource-api,localhost/kube-resource-api)
TAG ?= $(shell git describe --tags --always --dirty 2>/dev/null | sed 's/^v//')

# The Helm release.
RELEASE ?= kube-resource-api
NAMESPACE ?= kube-resource-api
VALUES ?= deploy/helm/example-values.yaml
CHART := deploy/helm/kube-resource-api
HELM ?= $(or $(shell command -v helm),$(wildcard .dev/tools/helm),helm)
HELM_VALUES = --values $(VALUES) $(if $(DH_USER),--set image.repository=$(IMAGE) --set image.tag=$(TAG))

# The demo cluster comes with a policy. Another cluster, or an explicit AUTHORIZATION or POLICY_FILE, does not.
DEMO_POLICY := $(if $(filter embedded,$(or $(KUBE_SOURCE),embedded)),$(if $(AUTHORIZATION)$(POLICY_FILE),,deploy/demo/policy.yaml))

.PHONY: help setup certs run dev check format test check-deploy e2e probe docs bench build client audit sbom docker push_docker \
  create_cluster delete_cluster install upgrade uninstall release clean

help: ## List every target
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9_-]+):.*## (.*)/\1\t\2/' | awk -F '\t' '{printf "  %-15s %s\n", $$1, $$2}'

$(INSTALLED): package.json package-lock.json
	npm ci --loglevel=error
	@touch $@

setup: $(INSTALLED) ## Install the packages of the lock file

certs: ## Make development certificates in .dev/pki, unless valid ones exist; SERVER_NAMES=a,b adds names to the server's
	@SERVER_NAMES=$(SERVER_NAMES) scripts/pki.sh $(PKI)

run: $(INSTALLED) certs ## Serve the embedded demo cluster, or that of KUBE_SOURCE, on PORT (8443), and print curl lines
	@EXAMPLES_DIR=$${EXAMPLES_DIR:-$(PKI)} \
	KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} LOG_FORMAT=$${LOG_FORMAT:-pretty} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node src/main.ts

dev: setup certs ## Like run, restarted when a source file changes
	@KUBE_SOURCE=$${KUBE_SOURCE:-embedded} PORT=$(PORT) POLICY_FILE=$${POLICY_FILE:-$(DEMO_POLICY)} DRAIN_PERIOD=$${DRAIN_PERIOD:-0s} \
	TLS_CERT_FILE=$${TLS_CERT_FILE:-$(PKI)/server.crt} TLS_KEY_FILE=$${TLS_KEY_FILE:-$(PKI)/server.key} \
	TLS_CLIENT_CA_FILE=$${TLS_CLIENT_CA_FILE:-$(PKI)/ca.crt} \
	exec node --watch src/main.ts

check: setup ## Check types, lint and format
	npm run --silent check

format: setup ## Format every file
	npm run --silent format

test: check ## Check, then run the tests of the program
	npm test --silent

check-deploy: setup ## Test image, chart, alert rules and dashboard with buildah, Helm, promtool and Prometheus
	scripts/deploy-tools.sh
	scripts/prometheus.sh .dev/prometheus
	scripts/go.sh .dev/go
	vitest run --config vitest.deploy.config.ts

e2e: setup ## Run the conformance suite against the service at E2E_URL and its cluster (KUBECONFIG), in namespaces of its own
	@E2E_URL=$${E2E_URL:-https://localhost:$(PORT)} E2E_CA_FILE=$${E2E_CA_FILE:-$(PKI)/ca.crt} \
	E2E_CERT_FILE=$${E2E_CERT_FILE:-$(PKI)/admin.crt} E2E_KEY_FILE=$${E2E_KEY_FILE:-$(PKI)/admin.key} \
	E2E_DENIED_CERT_FILE=$${E2E_DENIED_CERT_FILE-$(PKI)/nobody.crt} E2E_DENIED_KEY_FILE=$${E2E_DENIED_KEY_FILE-$(PKI)/nobody.key} \
	node src/e2e/main.ts

probe: setup ## Run the synthetic queries once against a service started by `make run`
	@PROBE_URL=$${PROBE_URL:-https://localhost:$(PORT)} PROBE_CA_FILE=$${PROBE_CA_FILE:-$(PKI)/ca.crt} \
	PROBE_CERT_FILE=$${PROBE_CERT_FILE:-$(PKI)/admin.crt} PROBE_KEY_FILE=$${PROBE_KEY_FILE:-$(PKI)/admin.key} \
	node src/probe/main.ts

docs: setup ## Generate the tables of settings in docs/ from their declarations
	node scripts/configuration.ts && prettier --write --log-level warn docs/configuration.md docs/observability.md

bench: $(addprefix bench-,reads tracing frameworks handshakes wire sync freshness shared writes growth memory start parts authorization hostile waiting) ## Run every benchmark (BENCH_QUICK=1: only check that they work); bench-NAME runs one of bench/

bench-%: setup
	@scripts/pki.sh .dev/test-pki faulty
	@node --expose-gc bench/$*.ts

build: setup ## Bundle the programs into dist/; `node dist/main.js` needs no packages
	node scripts/bundle.ts

client: setup ## Build the typed client's package into dist/client and pack it as dist/kube-resource-api-client.tgz
	node scripts/client.ts

audit: setup ## Check the dependencies for known vulnerabilities
	npm audit

sbom: setup ## Write the software bill of materials (CycloneDX) to dist/sbom.json
	@mkdir -p dist
	npm sbom --sbom-format cyclonedx --sbom-type application > dist/sbom.json

docker: ## Build the image IMAGE:TAG with Docker or buildah, reproducibly
	scripts/image.sh build $(IMAGE):$(TAG)

push_docker: ## Build the image from a clean tree and push it as DH_USER/kube-resource-api, tagged after the commit
	@[ -n "$(DH_USER)" ] || { echo "Set DH_USER to your Docker Hub user name." >&2; exit 1; }
	@[ -z "$$(git status --porcelain)" ] || { echo "The tree is dirty: an image is pushed only from a commit. Commit or stash first." >&2; exit 1; }
	scripts/image.sh build $(IMAGE):$(TAG)
	scripts/image.sh push $(IMAGE):$(TAG)

create_cluster: ## Create the EKS cluster of deploy/eks/cluster.yaml in AWS_REGION (us-west-2) and point kubectl at it
	@scripts/eks.sh create

delete_cluster: ## Delete that EKS cluster with everything in it, after asking
	@scripts/eks.sh delete

install: ## Install the chart as RELEASE in NAMESPACE with VALUES, and wait until it is ready
	$(HELM) install $(RELEASE) $(CHART) --namespace $(NAMESPACE) --create-namespace $(HELM_VALUES) --wait

upgrade: ## Upgrade RELEASE to this chart and VALUES, pod by pod; roll back if it does not become ready
	$(HELM) upgrade $(RELEASE) $(CHART) --namespace $(NAMESPACE) $(HELM_VALUES) --rollback-on-failure --wait

uninstall: ## Uninstall RELEASE
	$(HELM) uninstall $(RELEASE) --namespace $(NAMESPACE) --wait

release: setup ## Make release VERSION: version numbers, changelog, tag, image, client and chart packages, and bill of materials
	scripts/release.sh $(VERSION)
	@$(MAKE) --no-print-directory build client sbom
	scripts/image.sh build $(IMAGE):$(VERSION)
	scripts/deploy-tools.sh
	$(HELM) package $(CHART) --destination dist
	@echo "Inspect it, then: git push origin main v$(VERSION)"

clean: ## Remove everything that was installed or generated
	rm -rf node_modules test/deploy/node_modules test/openapi/node_modules .dev dist
