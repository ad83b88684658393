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
