# make model        the executor under a checker, many schedules for each trial, and the hub, whose seats send and take pieces in any
#                   order; MODEL_RUNS=1000000 for more. A schedule that fails is printed with what replays it. `cargo test` tries
#                   a few hundred of them.
# make storm        a million requests of every kind: no answer lost, doubled or crossed; STORM=10000000 for more
# Included by the Makefile of the root.

MODEL_RUNS := 50000
STORM := 1000000

.PHONY: model storm

model: ## the executor and the hub under checkers
	@echo "model    $(MODEL_RUNS) schedules for each trial (some minutes)"
	@OUTSIDE_MODEL_RUNS=$(MODEL_RUNS) cargo test --quiet --package outside --lib executor::model
	@OUTSIDE_MODEL_RUNS=$(MODEL_RUNS) cargo test --quiet --package outside --test hub schedules

storm: ## a million requests
	@echo "storm    $(STORM) requests"
	@OUTSIDE_STORM=$(STORM) cargo test --quiet --package outside --test handoff no_answer -- --nocapture
