# Everything a developer runs, on a machine with Python 3.11 or newer and make. `make` alone lists the targets.
# ARGS=... goes on to the tool: make test ARGS="-k pricing -x", make test ARGS=--cov.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS :=

.PHONY: help install demo test corpus lint format bench lock clean

help:
	@echo "make demo    a small program calls a model; then its rows, its costs and a Polars frame"
	@echo "make test    all tests, on two cores; databases that are not installed are skipped and named"
	@echo "make corpus  load every recording and say, per setting and fact, what is right; ARGS=-v lists the misses"
	@echo "make lint    format, lint, types, layers"
	@echo "make format  put the files into the form that make lint asks for"
	@echo "make bench   operations per second beside the database's own limit; CPU and memory in the application"
	@echo "make lock    renew the lock files"
	@echo "make clean   remove what make has made"

install: $(INSTALLED)

$(INSTALLED): lock/newest.txt lock/uv.txt lock/install.sh pyproject.toml
	@echo "Installing into $(VENV) ..."
	@lock/install.sh $(VENV) lock/newest.txt

demo: $(INSTALLED)
	@$(BIN)/otel-llm-sql demo $(ARGS)

# Each worker starts a server of a kind at most once, when the first test asks for it; worksteal keeps the tests of a
# file together and both workers busy to the end.
test: $(INSTALLED)
	@command -v mariadbd >/dev/null || test -x /usr/sbin/mariadbd || \
		echo "MariaDB is not installed: its tests are skipped (apt-get install mariadb-server)"
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

corpus: $(INSTALLED)
	@PYTHONPATH=$(CURDIR) $(BIN)/python tests/corpus_measure.py $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/write.py $(ARGS)
	@$(BIN)/python benchmarks/read.py $(ARGS)
	@$(BIN)/python benchmarks/application.py $(ARGS)
	@$(BIN)/python benchmarks/mapping.py
	@$(BIN)/python benchmarks/storage.py $(ARGS)
	@$(BIN)/python benchmarks/receive.py $(ARGS)
	@$(BIN)/python benchmarks/memory.py

lock: $(INSTALLED)
	UV=$(BIN)/uv lock/update.sh

clean:
	rm -rf $(VENV) $(VENV)-oldest .cache .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
