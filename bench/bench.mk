# make bench        the comparison with the peers, about 30 minutes; BENCH="--quick" for a first look, --only, --peers
# make bench-count  instructions per request; REV=COMMIT compares the working tree with another commit
# make bench-reload  from a change of a program's file to its first answer under --reload
# make bench-hub    latency and rate of topics between processes
# make bench-bus    the same of one process beside a broker: Redis and Valkey, where they are installed
# make bench-certificates  instructions per handshake and hello with `domains`, and with the same certificate by file
# make bench-inside the cost of 100 open status pages, and the time until the page is open; INSIDE=--metrics: metrics on and off
# make bench-reactors  one event loop and two in one process of a free-threaded Python: REACTORS="--python PYTHON", one with a wheel
# Included by the Makefile of the root, which gives PY and `build`.

.PHONY: bench bench-certificates bench-count bench-reload

bench: build ## compare with the peers
	@$(PY) bench/run.py $(BENCH)
	@$(PY) make/docs/pages.py

bench-count: build ## count instructions
	@$(PY) bench/count.py $(if $(REV),--rev "$(REV)") $(COUNT)

bench-reload: build ## time a reload
	@$(PY) bench/reload.py $(RELOAD)

.PHONY: bench-hub
bench-hub: ## time topics between processes
	@cargo test --quiet --release --package outside --test hub bench::bench -- --ignored --nocapture

.PHONY: bench-bus
bench-bus: test-tools ## time topics by way of a broker
	@PYTHONPATH=tests $(PY) bench/bus.py

bench-certificates: build ## the cost of domains
	@$(PY) bench/certificates.py $(CERTIFICATES)

.PHONY: bench-reactors
bench-reactors: venv ## compare event loops of a free-threaded Python
	@$(PY) bench/reactors.py $(REACTORS)

.PHONY: bench-inside
bench-inside: build test-tools ## the cost of open status pages
	@$(PY) bench/inside.py $(INSIDE)
