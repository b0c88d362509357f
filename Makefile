# The one entry point. `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help run dev test contract check fmt lint doc deny bench fuzz campaign clean

CARGO ?= cargo
# nextest, where it is installed, runs the same tests faster; it does not know documentation tests.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the service and run it on http://127.0.0.1:8080, data in data/
	$(CARGO) run --release --locked -- serve

dev: ## Run an unoptimized build with detailed logs
	SCRIPTORIUM__LOG__LEVEL=info,scriptorium=debug $(CARGO) run -- serve

test: ## Run all tests; on TEST_DATABASE_URL and TEST_NATS_URL, or on private servers that they start
	@tests/postgres.sh install
	@tests/nats.sh install
	@tests/hosts.sh install
ifeq ($(NEXTEST),yes)
	@# Everything runs, whatever fails before it; the first failure is the result.
	result=0; \
	$(CARGO) nextest run --locked --no-fail-fast || result=$$?; \
	$(CARGO) test --locked --no-fail-fast --doc || { code=$$?; [ $$result -ne 0 ] || result=$$code; }; \
	exit $$result
else
	$(CARGO) test --locked --no-fail-fast
endif

contract: ## Put a debug build before clients that are not ours, which it brings (python3, Node). EXAMPLES=200 SEED=7
	@# Not "build": without what only tests need, dependencies have other features and would be built once more.
	$(CARGO) test --locked --no-run --test it
	tests/contract.sh target/debug/scriptorium $(or $(EXAMPLES),25) $(or $(SEED),1)

check: fmt lint doc test deny ## Everything that CI checks

fmt: ## Check the formatting
	$(CARGO) fmt --check

lint: ## Clippy, warnings are errors
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc: ## Build the documentation of the code, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Licences and sources of dependencies; ADVISORIES=yes adds those, from the network. Brings its cargo-deny
	@PATH="$$PATH:$(CURDIR)/target/tools/bin"; \
	$(CARGO) deny --version >/dev/null 2>&1 || tests/deny.sh "$(CURDIR)/target/tools"; \
	$(CARGO) deny --locked check $(if $(ADVISORIES),advisories) bans licenses sources

bench: ## Measure; what and how is in benches/README.md
	$(CARGO) bench --locked

fuzz: ## Fuzz frames and the text algebra (nightly, cargo-fuzz), e.g. make fuzz SEED=7 SECONDS=600
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@for target in frame algebra; do \
		mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target; \
		cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-seed=$(or $(SEED),1) -max_total_time=$(or $(SECONDS),60) || exit 1; \
	done

campaign: ## Random input and random campaigns at length, on stable, e.g. make campaign SEED=7 ROUNDS=1000
	CAMPAIGN_SEED=$(or $(SEED),1) CAMPAIGNS=$(or $(ROUNDS),500) FRAMES=1000000 PROPTEST_CASES=20000 $(CARGO) test --release --locked --no-fail-fast

clean: ## Remove what was built; data/ stays
	$(CARGO) clean
