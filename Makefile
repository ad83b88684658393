# The one door to everything; CI uses the same targets.
.DEFAULT_GOAL := help

# The caller's shell may be that of `make sandbox-env`, or have accounts of its own: no recipe sees them. The sandbox's
# own targets keep SANDBOX_*, which are their settings; the tests see none of it.
ACCOUNTS := $(filter SSL_CERT_FILE SSL_CERT_DIR HCLOUD_TOKEN CLOUDFLARE_API_TOKEN PULUMI_% AWS_%,$(.VARIABLES))
CHOICES := $(filter E2E_% MOMENTSTUDIO_%,$(.VARIABLES))
OWN := env $(ACCOUNTS:%=-u %)
CLEAN := $(OWN) $(patsubst %,-u %,$(filter SANDBOX_%,$(.VARIABLES)))

SANDBOX := cd sandbox && $(OWN) go run ./cmd/sandbox

.PHONY: help
help: ## show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: sandbox
sandbox: ## bring the whole stack up on this machine, with no account (root, Debian)
	@$(SANDBOX) up

.PHONY: sandbox-preview
sandbox-preview: ## show what an update of the sandbox would change
	@$(SANDBOX) pulumi preview --diff

.PHONY: sandbox-env
sandbox-env: ## print the environment in which pulumi works on the sandbox: eval "$(make -s sandbox-env)"
	@$(SANDBOX) env

.PHONY: sandbox-down
sandbox-down: ## remove everything that the sandbox made (PURGE=1: its build cache too)
	@$(SANDBOX) down

# The sandbox's tests share the build cache of `make sandbox`; the Go cache stays where it is.
TEST_ENV = GOCACHE="$$(go env GOCACHE)" XDG_CACHE_HOME=/var/cache
# Caddy and the engine are big, and are built for images and sandbox anyway: with the same flags a test compiles them no second time.
AS_BUILT = GOFLAGS=-trimpath
# The linter, which go tool builds once; its build must not see the flags of a module that it looks at.
LINT = "$$(env -u GOFLAGS -u CGO_ENABLED go tool -modfile="$(CURDIR)/tools/go.mod" -n golangci-lint)" run
VULN = "$$(env -u GOFLAGS -u CGO_ENABLED go tool -modfile="$(CURDIR)/tools/govulncheck/go.mod" -n govulncheck)"
# The parts of the sandbox whose tests need neither root nor Docker.
UNIT_PARTS = ./cloudflare ./dns ./hetzner ./offhost
# Where a test leaves what is worth keeping of its run: the drill's report.
ARTIFACTS = -artifacts -outputdir "$(CURDIR)/.momentstudio/artifacts"

.PHONY: studio
studio: ## build bin/studio, the operator's command
	go build -trimpath -o bin/ ./cmd/studio

.PHONY: images
images: ## build and push the images ops and edge: PUSH=ghcr.io/owner/repository
	@go run ./cmd/images -push "$(PUSH)"

.PHONY: prepare
prepare: ## install and start what the tests need (root, Debian)
	@scripts/prepare.sh

.PHONY: unit
unit: ## the tests that need neither root nor network nor Docker, on any Linux; one whose program is missing is skipped
	$(CLEAN) UNIT_MAY_SKIP=$(if $(STRICT),,1) go test ./...
	cd images/edge && $(CLEAN) CGO_ENABLED=0 $(AS_BUILT) go test ./...
	cd sandbox && $(CLEAN) go test $(UNIT_PARTS)

.PHONY: emulators
emulators: prepare ## the sandbox's own tests: emulated clouds, hosts, images, S3 store, Pulumi engine
	cd sandbox && $(CLEAN) $(TEST_ENV) go test -p 1 -timeout 30m $$(go list ./... | grep -v /e2e)
	cd sandbox/s3store && $(CLEAN) go test ./...
	cd sandbox/engine && $(CLEAN) $(AS_BUILT) go test -tags no_compose ./...
	cd sandbox/engine/cli && $(CLEAN) $(AS_BUILT) go test -tags no_compose ./...

.PHONY: e2e
e2e: prepare ## the whole stack: GROUP=site,releases,review,recovery,data,lifecycle or some of them; E2E_REUSE=1 keeps it
	@mkdir -p .momentstudio/artifacts
	cd sandbox && $(CLEAN) $(TEST_ENV) E2E_GROUP="$(GROUP)" go test -count=1 -timeout 80m $(ARTIFACTS) ./e2e -run '^TestStack$$' -v

.PHONY: test
test: prepare lint ## run every test: lint, unit, emulators, all groups of the whole stack on two stacks side by side
	$(MAKE) unit STRICT=1
	$(MAKE) emulators
	@mkdir -p .momentstudio/artifacts
	cd sandbox && $(CLEAN) $(CHOICES:%=-u %) $(TEST_ENV) E2E_STACKS=2 go test -parallel 2 -timeout 78m $(ARTIFACTS) ./e2e

.PHONY: test-full
test-full: prepare ## the groups with the full load and all faults, GROUP=… only some; one that passed on this commit is not run again
	@$(CLEAN) $(TEST_ENV) scripts/test-full.sh "$(GROUP)"

.PHONY: plans
plans: prepare ## record the plans of many changes again, for the tests of `studio review`
	cd sandbox && $(CLEAN) $(TEST_ENV) E2E_SANDBOX=1 MOMENTSTUDIO_RECORD="$(CURDIR)/internal/review/testdata/plans" go test -timeout 45m ./e2e -v -run '^TestStack$$'
	go test ./internal/review -update

.PHONY: bench
bench: prepare ## a release, the services, previews and updates against what cannot be avoided: parts, a script, trivial resources
	cd sandbox && $(CLEAN) $(TEST_ENV) go test -p 1 -timeout 45m ./e2e -run '^$$' -bench . -benchtime 1x -v

.PHONY: race
race: ## the pure and graph tests under the race detector
	$(CLEAN) go test -race ./internal/... ./stacks/...

.PHONY: lint
lint: ## the linters of .golangci.yml in all modules, and of the workflows (which need shellcheck)
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt -w these files" >&2; exit 1; }
	go tool -modfile=tools/actionlint/go.mod actionlint
	$(LINT) ./...
	cd images/edge && CGO_ENABLED=0 $(AS_BUILT) $(LINT) ./...
	cd sandbox && $(LINT) ./...
	cd sandbox/s3store && $(LINT) ./...
	cd sandbox/engine && $(AS_BUILT) $(LINT) --build-tags no_compose ./...
	cd sandbox/engine/cli && $(AS_BUILT) $(LINT) --build-tags no_compose ./...

.PHONY: vulnerabilities
vulnerabilities: ## known vulnerabilities in code that this repository's modules call (asks vuln.go.dev; nightly)
	$(VULN) ./...
	cd images/edge && $(VULN) ./...
	cd sandbox && $(VULN) -test ./...

.PHONY: vet-darwin
vet-darwin: ## vet what runs at a desk for macOS: everything but hostops (nightly; it compiles the providers' SDKs once more)
	CGO_ENABLED=0 GOOS=darwin go vet $$(go list ./... | grep -v hostops)

.PHONY: snapshots
snapshots: ## rewrite the golden files, the generated reference and CHANGELOG.md
	$(CLEAN) go test ./internal/render ./internal/appsettings ./internal/config ./internal/importenv ./internal/review ./internal/drill ./stacks ./cmd/studio ./cmd/hostops ./internal/repocheck -update

.PHONY: clean
clean: ## remove bin and .momentstudio: builds, test artifacts, and the SSH keys and saved states of real stacks
	rm -rf bin .momentstudio
