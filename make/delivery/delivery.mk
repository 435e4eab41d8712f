# make wheel          wheels for the CPythons of this machine, in target/wheels, and the bytes of each feature;
#                     WHEEL="--python 3.13" or "--abi3" chooses
# make install-check  those wheels in an empty virtual environment of each CPython: installed, served, nothing broken;
#                     INSTALL=--documents also runs the programs of README, front page and tutorial with a wheel
# make sdist          the source distribution, in target/wheels
# make crate          the crate as the index of crates gets it: its files, and a build from them alone
# make workflows      actionlint over .github/workflows (part of `make test`)
# Included by the Makefile of the root, which gives PY, `venv`, `test-tools`.

WHEEL :=
INSTALL :=

.PHONY: wheel-tools wheel install-check sdist crate workflows

wheel-tools: venv
	@make/venv.sh $(VENV) "$(CHOSEN)" make/wheel-tools.txt

wheel: wheel-tools ## build wheels
	@echo "wheel    $(or $(WHEEL),for each CPython found) (some minutes)"
	@$(PY) make/delivery/build_wheel.py $(WHEEL)

# The source distribution is there for pip: one that is too old for the wheels learns from it which Pythons are supported.
install-check: sdist ## install and serve the wheels
	@$(PY) make/delivery/install_check.py $(INSTALL)

sdist: venv ## the source distribution
	@$(PY) -m maturin sdist --out target/wheels

crate: venv ## the crate of the index
	@echo "crate    cargo package, as outside-framework (some minutes)"
	@$(PY) make/delivery/crate.py

workflows: test-tools
	@echo "workflow actionlint"
	@$(VENV)/bin/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
