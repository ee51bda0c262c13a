# Starts things; what they do is in local/commands/.
SHELL := /bin/bash
NODE := node_modules/.bin/node
RUN := $(NODE) --disable-warning=ExperimentalWarning local/main.ts
STAMP := node_modules/.installed-$(shell sha256sum package-lock.json | cut -c1-12)
Q ?=
CONTEXT ?=
REGISTRY ?=

.PHONY: help local local-down ask status env tools test test-unit test-images test-engine test-cluster lint bench render preview

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-14s %s\n", $$1, $$2}'

$(STAMP): package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@rm -f node_modules/.installed-* && touch $@

local: $(STAMP) ## The whole platform on this machine, up to a tuned model's answer (on yours: CONTEXT=<name> REGISTRY=<host/path>)
	@$(RUN) up $(if $(CONTEXT),--context "$(CONTEXT)" "$(REGISTRY)")

local-down: $(STAMP) ## Remove every trace of it
	@$(RUN) down

ask: $(STAMP) ## Ask the tuned model: make ask Q="Who ...?"
	@$(RUN) ask "$(Q)"

status: $(STAMP) ## What runs, and where
	@$(RUN) status

env: $(STAMP) ## Exports for pulumi, kubectl and docker by hand: eval "$(make -s env)"
	@$(RUN) env

tools: $(STAMP) ## Only build the tools
	@$(RUN) tools

test: $(STAMP) ## Every level of tests
	@$(RUN) test

test-unit: $(STAMP) ## Settings, builders, components, stack files, the local platform's parts
	@$(RUN) test unit

test-images: $(STAMP) ## Entry code of the images
	@$(RUN) test images

test-engine: $(STAMP) ## The program under the real Pulumi engine
	@$(RUN) test engine

test-cluster: $(STAMP) ## The platform end to end
	@$(RUN) test cluster

lint: $(STAMP) ## Types, style, layers
	@$(RUN) test lint

bench: $(STAMP) ## Measures, as Markdown rows
	@$(RUN) bench

preview: $(STAMP) ## What a pull request changes, as Markdown: make preview STACK=prod
	@$(RUN) preview "$(STACK)"

render: $(STAMP) ## Kubernetes objects of a stack as files: make render STACK=dev OUT=rendered/dev
	@$(NODE) --require ./scripts/typescript.cjs scripts/render.ts "$(STACK)" "$(OUT)"
