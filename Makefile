# Every target works from an empty machine: it makes .venv and installs what it needs.
PYTHON ?= $(or $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 \
    python3.11,$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' \
    2>/dev/null))),python3)
RUN ?= runs/demo
# the CPU build of torch satisfies the first line wherever pip finds one, and the
# second line then leaves it as it is
INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check docs bench clean
.DELETE_ON_ERROR:

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/.installed ## train, fuse, calibrate and report on a small data set
	.venv/bin/dale demo $(RUN)

test: .venv/.installed-test ## run the tests and every documented example
	scripts/test $(ARGS)

check: .venv/.installed-check ## style, types, layers, documentation
	scripts/check

docs: .venv/.installed-docs ## build the documentation into docs/_build/html
	scripts/docs

bench: .venv/.installed ## list the benchmarks, or run one: make bench ARGS=name
	scripts/bench $(ARGS)

clean: ## remove what was built; .venv and runs stay
	rm -rf build dist docs/_build .cache .pytest_cache .ruff_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: EXTRAS =
.venv/.installed-test: EXTRAS = [test]
.venv/.installed-check: EXTRAS = [check,docs]
.venv/.installed-docs: EXTRAS = [docs]
.venv/.installed .venv/.installed-test .venv/.installed-check .venv/.installed-docs: \
    pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing dale$(EXTRAS) into .venv"
	@$(INSTALL) torch==2.13.0
	@$(INSTALL) -e ".$(EXTRAS)"
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "dale needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make a virtual environment: install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
