# make conformance   the Autobahn TestSuite against the echo servers in Rust and Python, an hour or two; CONFORMANCE="--quick"
#                    leaves out the largest messages, "--groups 1-7,10 --servers rust" chooses. It needs a Python 2.7.
# Included by the Makefile of the root, which gives PY and `build`.

.PHONY: conformance

conformance: build ## the WebSocket conformance suite
	@echo "conform  the Autobahn TestSuite"
	@cargo build --quiet --release --example echo
	@$(PY) conformance/run.py $(CONFORMANCE)
