# Each target makes its own virtual environment in .venv when there is none.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo demo-pylon demo-ham demo-explainer test test-fast test-extras lint clean

$(VENV)/ready: setup.py
	@echo "Installing TensorFlow and the rest into $(VENV): a minute or two, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[imgaug,dev]"
	@# OpenCV without desktop libraries instead of the one that imgaug installs:
	@# the same module, which also imports on bare servers.
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python
	$(BIN)/python -m pip install --quiet "opencv-python-headless>=4.10"
	touch $@

demo: $(VENV)/ready  ## Trains HRCAM on synthetic images and draws every step.
	$(BIN)/python scripts/pretrain_half.py
	$(BIN)/python scripts/train_full.py
	$(BIN)/python scripts/evaluate.py --type half
	$(BIN)/python scripts/evaluate.py --type full
	@echo "See results/full/*/evaluation/pipeline-*.png"

demo-pylon: $(VENV)/ready  ## Trains PYLON on synthetic images, measures and draws it.
	$(BIN)/python scripts/train_pylon.py
	$(BIN)/python scripts/generate_heatmaps.py --type pylon --limit 40
	@echo "See results/pylon/*/heatmaps/page-001.png"

demo-ham: $(VENV)/ready  ## Trains HAM on synthetic images, measures it, writes a web page.
	$(BIN)/python scripts/train_ham.py
	$(BIN)/python scripts/generate_heatmaps.py --type ham --html --limit 60
	@echo "Open results/ham/*/heatmaps/html/index.html in a browser"

demo-explainer: $(VENV)/ready  ## Trains the explainer-classifier on synthetic polygons.
	$(BIN)/python scripts/train_explainer.py
	$(BIN)/python scripts/generate_heatmaps.py --type explainer --html --limit 60
	$(BIN)/python scripts/compare_explanations.py --limit 24 --steps 20
	@echo "Open results/explainer/*/heatmaps/html/index.html in a browser"

$(VENV)/extras: $(VENV)/ready
	@echo "Installing JAX, PyTorch and pydensecrf2 into $(VENV), once."
	$(BIN)/python -m pip install --quiet -e ".[jax,crf]" "torch==2.13.0"
	touch $@

PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4

test: $(VENV)/ready  ## All tests and doctests but the extras, on all cores.
	$(PYTEST) --dist loadfile -m "not extras"

test-fast: $(VENV)/ready  ## The tests that take less than five seconds each.
	$(PYTEST) --dist loadfile -m "not extras and not slow"

test-extras: $(VENV)/extras  ## JAX, PyTorch, a browser, the dense CRF; no skips.
	$(PYTEST) -m extras --fail-skipped

lint: $(VENV)/ready  ## Style, docstrings, format, types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
