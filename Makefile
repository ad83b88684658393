# The one door to everything; CI uses the same targets.
.DEFAULT_GOAL := help
SANDBOX := cd sandbox && go run ./cmd/sandbox

.PHONY: help
help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: sandbox
sandbox: ## bring the whole stack up on this machine, with no account (root, Debian)
	@$(SANDBOX) up

.PHONY: sandbox-preview
sandbox-preview: ## show what an update of the sandbox would change
	@$(SANDBOX) pulumi preview --diff

.PHONY: sandbox-env
sandbox-env: ## print the environment in which pulumi works on the sandbox: eval "$$(make -s sandbox-env)"
	@$(SANDBOX) env

.PHONY: sandbox-down
sandbox-down: ## remove everything that the sandbox made (PURGE=1: its build cache too)
	@$(SANDBOX) down

# The sandbox's tests share the build cache of `make sandbox`; the Go cache stays where it is.
TEST_ENV = GOCACHE="$$(go env GOCACHE)" XDG_CACHE_HOME=/var/cache
# Caddy and the engine are big, and are built for images and sandbox anyway: with the same flags a test compiles them no second time.
AS_BUILT = GOFLAGS=-trimpath
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

.PHONY: test
test: prepare lint ## run every test: pure, golden, graph, emulators, hosts, the whole stack
	go test ./...
	cd internal/faulttable && go test ./...
	cd images/edge && CGO_ENABLED=0 $(AS_BUILT) go test ./...
	@mkdir -p .momentstudio/artifacts
	cd sandbox && $(TEST_ENV) go test -p 1 -timeout 80m $(ARTIFACTS) ./...
	cd sandbox/s3store && go test ./...
	cd sandbox/engine && $(AS_BUILT) go test -tags no_compose ./...
	cd sandbox/engine/cli && $(AS_BUILT) go test -tags no_compose ./...

.PHONY: test-full
test-full: prepare ## the whole stack with the full load and the full list of faults (some four hours)
	@mkdir -p .momentstudio/artifacts
	cd sandbox && $(TEST_ENV) MOMENTSTUDIO_FULL=1 go test -p 1 -timeout 6h $(ARTIFACTS) ./e2e -v

.PHONY: plans
plans: prepare ## record the plans of many changes again, for the tests of `studio review`
	cd sandbox && $(TEST_ENV) MOMENTSTUDIO_WORLD=1 MOMENTSTUDIO_RECORD="$(CURDIR)/internal/review/testdata/plans" go test -p 1 -timeout 45m ./e2e -v -run TestTheWholeStack
	go test ./internal/review -update

.PHONY: faults
faults: prepare ## try every fault and write the table of what is shown (some four hours)
	MOMENTSTUDIO_FAULTS=record go test -count=1 ./internal/... ./cmd/...
	cd sandbox && $(TEST_ENV) MOMENTSTUDIO_FAULTS=record MOMENTSTUDIO_FULL=1 go test -p 1 -timeout 6h ./e2e -v -run TestTheWholeStack

.PHONY: bench
bench: prepare ## a release, the services, previews and updates against what cannot be avoided: parts, a script, an empty program
	cd sandbox && $(TEST_ENV) go test -p 1 -timeout 45m ./e2e -run '^$$' -bench . -benchtime 1x -v

.PHONY: race
race: ## the pure and graph tests under the race detector
	go test -race ./internal/... ./stacks/...

.PHONY: lint
lint: ## the linters of .golangci.yml and of the workflows, and vet for the other modules
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt -w these files" >&2; exit 1; }
	go tool -modfile=tools/go.mod golangci-lint run ./...
	go tool -modfile=tools/actionlint/go.mod actionlint
	cd images/edge && CGO_ENABLED=0 $(AS_BUILT) go vet ./...
	cd internal/faulttable && go vet ./...
	cd sandbox && go vet ./...
	cd sandbox/s3store && go vet ./...

.PHONY: snapshots
snapshots: ## rewrite the golden files, the generated reference and CHANGELOG.md
	go test ./internal/render ./internal/appsettings ./internal/config ./internal/importenv ./internal/review ./stacks ./cmd/studio ./cmd/hostops ./internal/repocheck -update

.PHONY: clean
clean: ## remove what builds and tests left in the clone
	rm -rf bin .momentstudio
