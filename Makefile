# Two commands set everything up on a fresh machine: make demo, make test. The others build on the same .venv.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/.ready
SERVE_PEERS := .venv-serve-peers/.ready

.PHONY: demo test check acceptance chaos bench bench-serve bench-attack bench-train bench-fewshot bench-distill bench-pretrain clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,openvino,postgres,ray,mlflow]" --group dev
	touch $@

$(PEERS): bench/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-peers/bin/python -m pip install --quiet --requirement bench/peers.txt
	touch $@

$(SERVE_PEERS): bench/serve_peers.txt
	$(PYTHON) -m venv .venv-serve-peers
	.venv-serve-peers/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-serve-peers/bin/python -m pip install --quiet --requirement bench/serve_peers.txt
	touch $@

demo: $(READY)  ## the main job, from labelled texts to the margin report
	$(BIN)/freehold demo

test: $(READY)  ## all tests, a file at a time on each processor
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(READY)  ## what CI runs before the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

acceptance: $(READY)  ## the figures promised on public data sets (needs FREEHOLD_SHARED or ../shared; slow)
	$(BIN)/python -m pytest tests/acceptance --run-acceptance -s --timeout 3600

chaos: $(READY)  ## kills, lost databases, full disks, hostile clients; `freehold reconcile` after each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/chaos --run-chaos -s --timeout 3600

bench: bench-train bench-fewshot bench-distill bench-attack bench-pretrain bench-serve  ## every benchmark

bench-train: $(READY) $(PEERS)  ## our training loop against transformers.Trainer, in the same run
	$(BIN)/python bench/train.py

bench-fewshot: $(READY) $(PEERS)  ## a few examples a label, against SetFit
	$(BIN)/python bench/fewshot.py

bench-distill: $(READY)  ## a student of three layers against its teacher: score kept, speed
	$(BIN)/python bench/distill.py

bench-attack: $(READY)  ## plain against hardened versions under attack
	$(BIN)/python bench/attack.py

bench-serve: $(READY) $(SERVE_PEERS)  ## against LitServe and infinity, with metering on (needs Debian's wrk)
	$(BIN)/python bench/serve.py

bench-pretrain: $(READY)  ## packing, a new head, a small decoder, sentence embeddings
	$(BIN)/python bench/pretrain_speed.py
	$(BIN)/python bench/pretrain.py head
	$(BIN)/python bench/pretrain.py causal
	$(BIN)/python bench/pretrain.py simcse

clean:
	rm -rf .venv .venv-peers .venv-serve-peers .bench-serve build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
