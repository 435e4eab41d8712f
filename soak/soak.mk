# make soak    checks that need minutes: 10,000 connections, 1 GiB each way, slow clients at the default deadlines. It asks for
#              20,000 descriptors (ulimit -n); SOAK="-k slowloris" chooses.
# make hosting-all    Streamlit, Gradio, Dash and MCP on `outside run`, in an environment of their own, target/hosting-all
# Included by the Makefile of the root, which gives PY, `build` and `test-tools`.

.PHONY: soak certificates hosting-all

# Its packages are many and large; the module is that of .venv, made by the same Python.
hosting-all: build ## large frameworks as hosted applications
	@make/venv.sh target/hosting-all "$(CHOSEN)" make/hosting-all.txt
	@echo "hosting  soak/hosting_all/"
	@PYTHONPATH="$(CURDIR)/python" target/hosting-all/bin/python -m pytest soak/hosting_all -v

soak: build test-tools storm certificates ## long and large forms of the tests of load
	@echo "soak     soak/ (more than half an hour; its first part judges times, and wants a quiet machine)"
	@$(PY) -m pytest soak --ignore soak/hosting_all -v -rA -o timeout=900 $(SOAK)

certificates: ## 100 new certificates during 10,000 handshakes
	@echo "soak     100 new certificates during 10,000 handshakes"
	@OUTSIDE_HANDSHAKES=10000 cargo test --quiet --package outside --test tls certificates_change
