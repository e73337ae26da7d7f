# `make help` lists the targets. Every target makes the environment it needs.
#   TORCH=cpu|cuda    build of torch; by default cuda where an NVIDIA card is found
#   PYTHON=python3.12 interpreter for a new environment (3.11 or 3.12)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env env-dev env-docs shards region-select detector score msr-tables ablation repair world test lint bench docs clean

TORCH  ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   ?= .venv
PY     := $(VENV)/bin/python
CONFIG ?= configs/shards/miniworld.py
OUT    ?= out/$(basename $(notdir $(CONFIG)))
ARGS   ?=
DATA   ?= $(OUT)
MODEL  ?= swin_mini
TRAINED ?= out/detector/$(MODEL)
SELECTED ?= out/region_select/$(MODEL)
SETS   ?= miniworld/sets/v1
LABELS ?= $(SETS)/select
TESTS  ?= $(wildcard $(SETS)/wild-test $(SETS)/faults-test $(SETS)/clean-test)
PINS   := pyproject.toml constraints/common.txt constraints/$(TORCH).txt
CPU_INDEX := https://download.pytorch.org/whl/cpu

# A name as one word of the shell, whatever it holds.
quoted = '$(subst ','\'',$(1))'

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16
	@echo 'Variables: CONFIG OUT ARGS TORCH PYTHON; e.g. make shards OUT=out/try ARGS="--set seed=1"'
	@echo '           DATA MODEL TRAINED SETS TESTS; e.g. make detector score MODEL=convnext_mini ARGS="--seed 1"'
	@echo '           LABELS SELECTED; e.g. make region-select MODEL=swin_t LABELS=out/richhf/select ARGS="--val out/richhf/dev"'

shards: env  ## make labelled shards: CONFIG=configs/shards/NAME.py OUT=DIR ARGS="--set a.b=v"
	$(PY) -m corruptor shards $(call quoted,$(CONFIG)) --out $(call quoted,$(OUT)) $(ARGS)

# The small detectors start from scene segmentation; where those weights are not there they are made, in minutes.
START   := $(if $(filter %_mini,$(MODEL)),detector/weights/$(MODEL).safetensors)
CHOICE  := $(if $(wildcard $(SETS)/validation),--val $(call quoted,$(SETS)/validation))

region-select: env | $(START)  ## train a selector of regions on a hundred labelled pictures: MODEL=.. LABELS=DIR
	$(PY) -m region_select train configs/region_select/$(MODEL).py --labels $(call quoted,$(LABELS)) $(CHOICE) --out $(call quoted,$(SELECTED)) $(ARGS)

region_select/weights/%.safetensors: | env
	$(MAKE) region-select MODEL=$* SELECTED=out/region_select/$*
	mkdir -p $(@D) && cp out/region_select/$*/selector.safetensors $@.partial && mv $@.partial $@

detector: env | $(START)  ## train a detector on shards: MODEL=swin_mini|convnext_mini|swin_t|.. DATA=DIR
	$(PY) -m detector train configs/detector/$(MODEL).py --shards $(call quoted,$(DATA)) $(CHOICE) --out $(call quoted,$(TRAINED)) $(ARGS)

detector/weights/%.safetensors: | env
	$(PY) -m detector pretrain configs/detector/scenes_$*.py --out out/detector/scenes_$*
	$(PY) -m detector export out/detector/scenes_$*/weights.safetensors --half --out $@

score: env  ## look at the test sets with it and score: MODEL=.. TESTS="DIR .."
	@[ -n "$(TESTS)" ] || { echo "error: no test sets in $(SETS); name labelled shards: make score TESTS=DIR" >&2; exit 2; }
	trained=$(call quoted,$(TRAINED)); for set in $(TESTS); do name=$$(basename "$$set"); \
	  $(PY) -m detector predict "$$trained/weights.safetensors" "$$set" --out "$$trained/seen/$$name"; \
	  $(PY) -m detector score --pred "$$trained/seen/$$name" --truth "$$set" --out "$$trained/scores/$$name"; \
	done

# A segmenter of valid content, for mask-based semantic rejection: a folder as transformers reads it.
detector/weights/segmenter_mini: | env
	$(PY) -m detector pretrain configs/detector/scenes_mask2former_mini.py --out out/detector/scenes_mask2former_mini
	$(PY) -m detector export out/detector/scenes_mask2former_mini/weights.safetensors --half --out $@

PAL  ?= out/pal
COCO ?= out/coco

msr-tables: env  ## tables of mask-based semantic rejection over an import of PAL: PAL=DIR COCO=DIR
	$(PY) -m experiments.msr configs/msr/pal.py --place pal=$(call quoted,$(PAL)) coco=$(call quoted,$(COCO)) --out out/msr_pal $(ARGS)

LEAK    ?= out/leakcheck
PROBE   ?= probe
MAKINGS := default raw-negatives paste-back paste-back-raw-negatives

leakcheck: env | $(START)  ## can a detector tell a label by how the picture was made? Four makings, LEAK=DIR PROBE=..
	$(PY) -m leakcheck make --out $(call quoted,$(LEAK)/shards)
	$(PY) -m leakcheck check $(foreach m,$(MAKINGS),--pair $(call quoted,$(LEAK)/shards/$m/leakcheck) $(call quoted,$(LEAK)/shards/$m/leakcheck_sham)) \
	  --config configs/detector/$(PROBE).py --out $(call quoted,$(LEAK)/$(PROBE)) --processes $$(nproc) $(ARGS)

GRID     ?= configs/ablation/quick.py
ABLATION ?= out/ablation/$(basename $(notdir $(GRID)))

ablation: env | detector/weights/swin_mini.safetensors detector/weights/convnext_mini.safetensors  ## arms trained and tested alike: GRID=configs/ablation/NAME.py ABLATION=DIR
	$(PY) -m ablation $(call quoted,$(GRID)) --out $(call quoted,$(ABLATION)) $(ARGS)

FINDER   ?= region_select/weights/swin_mini.safetensors
INPAINTER ?= miniworld/weights
PICTURES ?= $(SETS)/validation/shards/00000.tar
REPAIRED ?= out/repaired
# For the embedded generator, whose cells are 4 of 64 pixels wide and which knows whole scenes alone.
REPAIR   ?= $(if $(filter miniworld/weights,$(INPAINTER)),--zoom whole --strength 0.8 --dilation 30 --known inverted --steps 20 --least-drop 0.02)

repair: env | $(FINDER)  ## predict, repair, predict again: FINDER=weights INPAINTER=model PICTURES=.. REPAIRED=DIR
	$(PY) -m detector predict $(call quoted,$(FINDER)) $(call quoted,$(PICTURES)) --out $(call quoted,$(REPAIRED)/before)
	$(PY) -m applications repair $(call quoted,$(PICTURES)) --detector $(call quoted,$(FINDER)) --inpainter $(call quoted,$(INPAINTER)) --out $(call quoted,$(REPAIRED)/repaired) $(REPAIR) $(ARGS)
	$(PY) -m detector predict $(call quoted,$(FINDER)) $(call quoted,$(REPAIRED)/repaired/pictures) --out $(call quoted,$(REPAIRED)/after)
	@echo "look at $(REPAIRED)/repaired/sheets"

world: env  ## sample pictures from the embedded world
	$(PY) -m miniworld sample --n 16 --out out/world $(ARGS)

test: env-dev  ## run the tests; ARGS are pytest's
	$(PY) -m pytest $(ARGS)

lint: env-dev  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: env-dev  ## run the benchmarks
	$(PY) -m benchmarks $(ARGS)

docs: env-docs  ## build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)

env: $(VENV)/.base-$(TORCH)  ## create the environment
env-dev: $(VENV)/.dev-$(TORCH)  ## create the environment with the tools of development

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || { \
	  echo "error: $$($(PYTHON) --version 2>&1) found; Python 3.11 or 3.12 is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# PyPI's Linux torch is the CUDA build, gigabytes of it. The CPU build comes from PyTorch's own index; where that cannot
# be reached, pip's own configuration (a mirror, a folder of wheels) decides.
$(VENV)/.base-$(TORCH): $(PINS) | $(PY)
	@if [ "$(TORCH)" = cpu ] && $(PY) -c 'import urllib.request as u; u.urlopen("$(CPU_INDEX)/torch/", timeout=8)' 2>/dev/null; \
	then index="--extra-index-url $(CPU_INDEX)"; else index=""; fi; \
	set -x; $(PY) -m pip install -q --disable-pip-version-check $$index -c constraints/$(TORCH).txt torch
	$(PY) -m pip install -q --disable-pip-version-check -c constraints/$(TORCH).txt --config-settings editable_mode=compat -e .
	rm -f $(VENV)/.base-* $(VENV)/.dev-* $(VENV)/.docs-*; touch $@

$(VENV)/.dev-$(TORCH): $(VENV)/.base-$(TORCH)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints/$(TORCH).txt --config-settings editable_mode=compat -e '.[dev]'
	touch $@

env-docs: $(VENV)/.docs-$(TORCH)

$(VENV)/.docs-$(TORCH): $(VENV)/.base-$(TORCH)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints/$(TORCH).txt --config-settings editable_mode=compat -e '.[docs]'
	touch $@

clean:  ## remove the environment (outputs stay)
	rm -rf $(VENV)
