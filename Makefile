# The commands of the project; `make help` lists them. They need Rust (rustup), Python 3.10 or newer, a C compiler and make.
#
# Everything Python lives in .venv, made by make/venv.sh from the Python that make/find-python.sh chooses.
# PYTHON=/path/to/python3 overrides the choice; another choice makes a new .venv.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python

# rustup's default folder, for a shell that was opened before Rust was installed.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# PyO3 builds for this Python.
export PYO3_PYTHON := $(CURDIR)/$(PY)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Another environment's settings must not leak into this one.
unexport PYTHONHOME PYTHONPATH

# Asked for once, and only by a target that needs it.
CHOSEN = $(eval CHOSEN := $(shell make/find-python.sh "$(PYTHON)"))$(CHOSEN)

# The sources of the release module. Folders stand in the list too: a file that was added or removed changes its folder.
SOURCES := Cargo.toml Cargo.lock pyproject.toml rust-toolchain.toml \
	$(wildcard crates/outside/Cargo.toml crates/outside-cli/Cargo.toml crates/outside-python/Cargo.toml) \
	$(wildcard crates/raw-memory/Cargo.toml crates/raw-memory/build.rs) \
	$(shell find crates/outside/src crates/outside-cli/src crates/outside-python/src crates/raw-memory/src)
BUILT := $(VENV)/.built
CORES := $(or $(shell getconf _NPROCESSORS_ONLN 2>/dev/null),2)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build check test venv format clippy rust-test tidy stubs docs docs-pages site site-versions pytest clean

help: ## the targets
	@echo "make run     build the release module and serve the quick start on http://127.0.0.1:8080/hello"
	@echo "make build   the release module, importable from $(PY), and the command $(VENV)/bin/outside"
	@echo "make check   the fast part of the tests: format, ruff, clippy, tidy, Rust tests"
	@echo "make test    everything: check, cargo-deny, the stubs against the module, pytest"
	@echo "make clients installs the programs that tests ask as clients (curl, wget, nghttp, Chromium), as root on Debian"
	@echo "make soak    minutes of load: 10,000 connections, 1 GiB each way, every deadline at its default"
	@echo "make hosting-all  Streamlit, Gradio, Dash and MCP as hosted applications, in an environment of their own"
	@echo "make conformance   the Autobahn TestSuite against the WebSocket echo servers, about an hour"
	@echo "make testssl testssl.sh against the server's TLS, some minutes"
	@echo "make model   the executor and the hub under checkers of schedules, some minutes"
	@echo "make site    the site of docs/, in target/site; make docs-pages writes its pages that are made from sources"
	@echo "make wheel   wheels for the CPythons of this machine; make install-check tries them; make crate packages the crate"
	@echo "make record  RUN=soak runs one of the long runs and records its end for docs/proof.md"
	@echo "make advisories    asks the RustSec database about the crates, which has to be fetched"
	@echo "make format  rewrite the sources as rustfmt and ruff want them"
	@echo "make clean   remove $(VENV) and what was built"
	@echo "PYTHON=/path/to/python3 chooses another Python than the newest suitable one."

run: build
	@echo "run      examples/python/hello.py"
	@exec $(PY) examples/python/hello.py

build: venv
	@if ! $(PY) -c 'import outside' 2>/dev/null; then rm -f $(BUILT); fi
	@$(MAKE) --silent --no-print-directory $(BUILT)

$(BUILT): $(SOURCES)
	@echo "build    the release module (a minute or two the first time)"
	@said=$$($(PY) -m maturin develop --release 2>&1) || { echo "$$said"; exit 1; }
	@touch $@

venv:
	@make/venv.sh $(VENV) "$(CHOSEN)" make/build-tools.txt

check: format-check ruff clippy tidy rust-test

# The release module is linked on one core while the other does what needs no module; then the tests, without a build beside them.
BESIDE := test-tools docs-tools format-check ruff deny workflows tidy clippy rust-build types docs
test: venv
	@make/test.sh "$(MAKE)" build "$(BESIDE)" "rust-test stubs pytest"

.PHONY: deny
deny: test-tools
	@echo "deny     licences, bans and sources of the crates, by deny.toml"
	@said=$$($(VENV)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources 2>&1) || { echo "$$said"; exit 1; }

.PHONY: advisories
advisories: test-tools ## known faults of the crates; not part of `make test`, which must not fail because of news
	@echo "deny     advisories of the RustSec database"
	@make/advisories.sh $(VENV)/bin/cargo-deny

.PHONY: format-check
format-check:
	@echo "format   cargo fmt --check"
	@cargo fmt --all --check

# Format and lint of Python, in every folder.
.PHONY: ruff
ruff: test-tools
	@echo "ruff     format and check"
	@$(PY) -m ruff format --quiet --check . || { $(PY) -m ruff format --quiet --diff .; echo "make format writes this"; exit 1; }
	@$(PY) -m ruff check --quiet .

format: test-tools
	@cargo fmt --all
	@$(PY) -m ruff format --quiet .

# In the profile of the tests: the C code of dependencies is compiled for one of them.
clippy: venv
	@echo "clippy   warnings are errors"
	@cargo clippy --quiet --profile test --workspace --all-targets -- -D warnings

tidy:
	@echo "tidy     the laws of ARCHITECTURE.md"
	@cargo test --quiet --package tidy

rust-test: venv
	@echo "rust     tests and documentation examples"
	@cargo test --quiet --workspace --exclude tidy

# The tests of Rust, and the programs that pytest runs (tests/support/cargo.py).
.PHONY: rust-build
rust-build: venv
	@echo "rust     builds the tests"
	@cargo test --quiet --workspace --exclude tidy --no-run
	@cargo build --quiet --profile test --workspace --exclude tidy --bin outside --example bench_server

.PHONY: test-tools
test-tools: venv
	@make/venv.sh $(VENV) "$(CHOSEN)" make/test-tools.txt

.PHONY: clients
clients: ## curl, wget and Chromium, where apt-get may be called
	@make/clients.sh make/clients.txt

stubs: build test-tools
	@echo "stubs    python/outside/_outside.pyi against the module"
	@$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-disjoint-bases outside

.PHONY: types
types: export MYPYPATH := python
types: test-tools
	@echo "types    the package, examples/python and tests/types, by mypy and pyright"
	@$(PY) -m mypy --strict python/outside examples/python
	@$(PY) -m mypy --strict tests/types
	@said=$$($(PY) -m basedpyright --level error) || { echo "$$said"; exit 1; }

.PHONY: docs-tools
docs-tools: venv
	@make/venv.sh $(VENV) "$(CHOSEN)" make/docs-tools.txt

# A broken link or anchor is an error.
docs: docs-tools
	@echo "docs     target/site"
	@$(PY) make/docs/pages.py --check
	@said=$$(NO_COLOR=1 $(VENV)/bin/zensical build --strict 2>&1) || { echo "$$said"; exit 1; }

docs-pages: venv
	@$(PY) make/docs/pages.py

site: docs

site-versions: site
	@$(PY) make/docs/versions.py "$(OUT)"

.PHONY: record
record: venv
	@$(PY) make/docs/record.py "$(RUN)" $(if $(COMMAND),--command "$(COMMAND)")

# Last, so that its closing lines are the last thing to be read.
pytest: build test-tools docs-tools
	@echo "pytest   tests/, $(CORES) at a time"
	@make/pytest.sh $(PY) $(CORES) "not alone"
	@echo "pytest   tests/, those that fill the machine or measure it"
	@make/pytest.sh $(PY) 1 alone

clean:
	@rm -rf $(VENV) target python/outside/*.so

-include bench/bench.mk
-include fuzz/fuzz.mk
-include soak/soak.mk
-include conformance/conformance.mk
-include testssl/testssl.mk
-include crates/outside/model.mk
-include make/delivery/delivery.mk
