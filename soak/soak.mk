# make soak    checks that need minutes: 10,000 connections, 1 GiB each way, slow clients at the default deadlines. It asks for
#              20,000 descriptors (ulimit -n); SOAK="-k slowloris" chooses.
# Included by the Makefile of the root, which gives PY, `build` and `test-tools`.

.PHONY: soak certificates

soak: build test-tools storm certificates ## long and large forms of the tests of load
	@echo "soak     soak/ (some ten minutes)"
	@$(PY) -m pytest soak -v -rA -o timeout=900 $(SOAK)

certificates: ## 100 new certificates during 10,000 handshakes
	@echo "soak     100 new certificates during 10,000 handshakes"
	@OUTSIDE_HANDSHAKES=10000 cargo test --quiet --package outside --test tls certificates_change
