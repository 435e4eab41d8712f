# make fuzz         every fuzz target for a minute; FUZZ_SECONDS=600 for longer, FUZZ_TARGETS="head chunked" for some, FUZZ_JOBS=2
#                   for two of them at a time, a core each
# Included by the Makefile of the root. Without a nightly compiler the same checks run as a bounded mutation run.

FUZZ_SECONDS := 60
FUZZ_JOBS := 1
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
FUZZ_RUN := cargo +nightly fuzz run --fuzz-dir fuzz
FUZZ_BUILD := cargo +nightly fuzz build --fuzz-dir fuzz
# The time-out of one input is by the clock, and other work may share the cores.
FUZZ_OPTIONS := -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=30 -dict=fuzz/http.dict -verbosity=0 -print_final_stats=1

.PHONY: fuzz fuzz-run fuzz-target fuzz-instead

fuzz: ## look for inputs that break the parsers
	@if RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then $(MAKE) --no-print-directory fuzz-run; \
	else $(MAKE) --no-print-directory fuzz-instead; fi

fuzz-run:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "fuzz     installing cargo-fuzz"; cargo install --quiet --locked cargo-fuzz; }
	@echo "fuzz     seeds from tests/corpus"
	@cargo test --quiet --package outside --test hostile --test websocket --test http2 --test hub write_seeds -- --ignored >/dev/null
	@$(FUZZ_BUILD)
	@printf '%s\n' $(FUZZ_TARGETS) | xargs -P $(FUZZ_JOBS) -I{} sh -c '$(MAKE) --no-print-directory fuzz-target FUZZ_TARGET={} || exit 255'
	@echo "fuzz     $(words $(FUZZ_TARGETS)) passed, $(FUZZ_SECONDS) seconds each"

fuzz-target:
	@echo "fuzz     $(FUZZ_TARGET), $(FUZZ_SECONDS) seconds"
	@said=$$($(FUZZ_RUN) $(FUZZ_TARGET) -- $(FUZZ_OPTIONS) 2>&1) || { echo "$$said" | tail -60; exit 1; }; \
	echo "$$said" | sed -n 's/^stat::number_of_executed_units: */         $(FUZZ_TARGET), inputs: /p'

fuzz-instead:
	@echo "fuzz     cargo-fuzz needs a nightly compiler (rustup toolchain install nightly); the same checks run as mutations"
	@cargo test --package outside --test hostile --test websocket --test http2 --test hub
