# Two commands are all a newcomer needs: `make demo` and `make test`. Both make .venv first.
# Another interpreter: make PYTHON=python3.12 test. A GPU build of torch: TORCH_SPEC="torch==2.13.0+cu130" make demo.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test bench clean

setup:
	@$(PYTHON) scripts/bootstrap.py

demo: setup
	$(BIN)/probe run grokking-demo --out runs/grokking-demo

# A worker takes a run of tests and steals from the other when it is done, so that what a file's tests share is mostly made
# once. One torch thread per process: two test processes that each start a thread per core slow each other down.
test: export OMP_NUM_THREADS = 1
test: export MKL_NUM_THREADS = 1
test: export HF_HUB_OFFLINE = 1
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy probe circuits scripts
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: setup
	$(BIN)/python -m tests.benchmarks

# Leaves runs/ alone: it holds the user's results.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
