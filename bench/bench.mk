# make bench        the comparison with the peers, 25 to 30 minutes; BENCH="--quick" for a first look, --only, --peers
# make bench-count  instructions per request; REV=COMMIT compares the working tree with another commit
# Included by the Makefile of the root, which gives PY and `build`.

.PHONY: bench bench-count

bench: build ## compare with the peers
	@$(PY) bench/run.py $(BENCH)

bench-count: build ## count instructions
	@$(PY) bench/count.py $(if $(REV),--rev "$(REV)") $(COUNT)
