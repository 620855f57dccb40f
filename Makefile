# make demo   sets up and runs the main job on embedded data (about 2 minutes after installation)
# make test   sets up and runs every test
# make check  lint, types, tests, doctests and the documentation
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
SEEDS ?= 3
EPOCHS ?= 40
DEMO := runs/demo

.PHONY: demo test check lint types doctests docs wheel wheel-check check-native check-neon release-check stress mutants matrix bench slides images \
	paper gpu-check third-party setup readme clean

# torch is named outright: any other way of asking may bring its CUDA packages, several GB
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[experiments,dev]' -c constraints.txt
	$(BIN)/python -m torchmomentum.ops build || true  # without a compiler all works, slower
	touch $@

setup: $(VENV)/installed

demo: setup
	rm -rf $(DEMO)
	$(BIN)/torchmomentum compare pdigits --seeds $(SEEDS) --epochs $(EPOCHS) --out $(DEMO)

# two workers and tests of several threads on two cores: a thread that waits sleeps
test: setup
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

doctests: setup
	$(BIN)/python -m pytest -q --doctest-modules src/torchmomentum --ignore src/torchmomentum/__main__.py

docs: setup
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict --quiet

check: lint types test doctests docs

# the wheel with all CPU kernels, and the same tried where there is no compiler
WHEEL := dist/check
TRIED := $(CURDIR)/$(WHEEL)/venv/bin/python
wheel: setup
	$(BIN)/python -m tools.wheel --out dist --platform manylinux_2_17_x86_64

wheel-check: setup
	rm -rf $(WHEEL)
	$(BIN)/python -m tools.wheel --out $(WHEEL) --platform manylinux_2_17_x86_64
	$(BIN)/auditwheel show $(WHEEL)/*.whl | grep -q 'following platform tag: "manylinux_2_17'
	$(PYTHON) -m venv $(WHEEL)/venv
	$(TRIED) -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	$(TRIED) -m pip install --quiet --disable-pip-version-check $(WHEEL)/*.whl pytest numpy -c constraints.txt
	env -i HOME=$(CURDIR)/$(WHEEL) PATH=/none $(TRIED) -c \
		"from torchmomentum.ops.cpu import build; assert build.build().parent == build.BUNDLED"
	env -i HOME=$(CURDIR)/$(WHEEL) PATH=/none $(TRIED) -m pytest -q -p no:cacheprovider \
		-k "(cpu or kernel or test_step or test_whole) and not triton and not compiled_graph" $(KERNEL_TESTS)

# the kernels' tests on every instruction set here, then with the sanitizers of addresses and undefined behaviour
KERNEL_TESTS := tests/ops/test_backends.py tests/ops/test_beside_one.py tests/ops/test_complex.py tests/ops/test_cpu.py \
	tests/ops/test_cpu_bfloat16.py tests/ops/test_step.py tests/ops/test_whole.py
SANITIZED := -fsanitize=address,undefined -fno-sanitize-recover=all -g
check-native: setup
	for isa in $$($(BIN)/python -c "from torchmomentum.ops.cpu.isa import supported; print(*(i.name for i in supported()))"); do \
		TORCHMOMENTUM_CPU_ISA=$$isa $(BIN)/python -m pytest -q -k "not triton" $(KERNEL_TESTS) || exit 1; \
		TORCHMOMENTUM_CPU_ISA=$$isa CXX="g++ $(SANITIZED)" ASAN_OPTIONS=detect_leaks=0 \
			LD_PRELOAD=$$(g++ -print-file-name=libasan.so) \
			$(BIN)/python -m pytest -q -k "(cpu or kernel or test_step or test_whole) and not triton and not compiled_graph" $(KERNEL_TESTS) || exit 1; done

# every kernel compiled for ARM and run under an emulator, on calls recorded here with vectors of its width
NEON_CXX ?= aarch64-linux-gnu-g++ -static
NEON_RUN ?= qemu-aarch64
check-neon: setup
	mkdir -p build
	TORCHMOMENTUM_CPU_ISA=v2 $(BIN)/python -m tests.native.record build/calls.bin
	$(NEON_CXX) -std=c++17 -O2 -ffp-contract=fast -Isrc/torchmomentum/ops/csrc tests/native/replay.cpp -o build/replay
	$(NEON_RUN) build/replay build/calls.bin

# all of a release that can be tried on one machine
release-check: check demo wheel-check check-native

# files that are damaged, builds and commands that are killed, workers that share a search: half an hour on two cores
stress: setup
	$(BIN)/python -m tools.stress.fuzz --mutations 2000
	$(BIN)/python -m tools.stress.builds --processes 8
	$(BIN)/python -m tools.stress.kill --times 50
	$(BIN)/python -m tools.stress.workers --workers 4 --kills 10 --trials 250

# which small changes of the code no test notices: make mutants MUTANTS=40 MODULES="optim sampling"
SEED ?= 0
JOBS ?= 1
mutants: setup
	$(BIN)/python -m tools.mutants $(if $(MODULES),--modules $(MODULES)) \
		$(if $(MUTANTS),--count $(MUTANTS)) --seed $(SEED) --jobs $(JOBS)

# the tests on the oldest and the newest Python and PyTorch: make matrix MATRIX='-m "not slow"'
matrix:
	$(PYTHON) tools/matrix.py -- $(MATRIX)

KINDS := layers layers-bfloat16 profile optim optim-compiled memory streaming papers scanned normalized small orthogonal \
	orthogonal-maps
# what is recorded on a processor that ends at AVX2 too
AVX2 := layers small streaming normalized scanned papers

bench: setup
	for kind in $(KINDS); do $(BIN)/torchmomentum bench $$kind --out results/benchmarks || exit 1; done

SLIDES := slides-quadratic slides-noise-decaying slides-noise-constant \
	slides-restart-frequency slides-momentum slides-accumulation slides-logistic slides-bnn

# the slides' figures; runs that are there are left as they are
slides: setup
	for name in $(SLIDES); do \
		$(BIN)/torchmomentum reproduce $$name --out results/$$name --resume || exit 1; done

MNIST := slides-logistic slides-bnn
IMAGES := cifar10 cifar100 fewer-epochs error-vs-depth imagenet

# those of real data, from the folder that TORCHMOMENTUM_DATA names: an hour or two on two cores
images: setup
	for name in $(MNIST); do $(BIN)/torchmomentum reproduce $$name --data mnist \
		--out results/$$name-mnist --resume || exit 1; done
	for name in $(IMAGES); do $(BIN)/torchmomentum reproduce $$name --scale desk \
		--data cifar10-jpeg --out results/$$name --resume || exit 1; done

FINDINGS := findings-digits findings-adding findings-mnist findings-copying findings-speech findings-words
PAPER := table1 table2 table3 table4 table5 table11 table12 table13 table14 table15 table16 figure2 figure3 figure4 figure5 figure6 figure7 figure9 figure10 figure11

# the MomentumRNN paper's tables on real data, as above
paper: setup
	for name in $(PAPER) $(FINDINGS); do $(BIN)/torchmomentum reproduce $$name --scale desk \
		--out results/$$name --resume || exit 1; done

# what other packages make of ours, in an environment with those packages
THIRD := .venv-third-party
PACKAGES := lightning skorch accelerate transformers darts neuralforecast pytorch-forecasting gluonts sb3-contrib \
	opacus onnx onnxscript onnxruntime wandb mlflow trackio optuna-dashboard
$(THIRD)/installed: Makefile pyproject.toml constraints.txt
	$(PYTHON) -m venv $(THIRD)
	$(THIRD)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	# the packages have pins of their own
	$(THIRD)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 \
		-e '.[experiments]' pytest setuptools $(PACKAGES)
	touch $@

third-party: $(THIRD)/installed
	$(THIRD)/bin/python -m pytest -q tests/third_party tests/test_examples.py -k "third_party or existing or ppo or private"

# all that a GPU is needed for; needs torch and Triton with CUDA
gpu-check:
	PYTHONPATH=src $(PYTHON) -m torchmomentum.experiments.cli bench gpu --device cuda \
		--seconds 1 --out results/benchmarks

REPORT := $(BIN)/torchmomentum report

# the docs' tables from the recorded results, and the tree from the code
readme: setup
	for name in pdigits adding pdigits-scanned; do \
		$(REPORT) results/$$name --into docs/results.md --mark $$name || exit 1; done
	for kind in $(KINDS); do \
		$(REPORT) results/benchmarks/$$kind --into docs/results.md --mark $$kind || exit 1; done
	$(REPORT) results/benchmarks/backends --into docs/kernels.md --mark backends
	for isa in v2 v3 v4 v4-bf16; do \
		$(REPORT) results/benchmarks/$$isa/backends --into docs/kernels.md --mark backends-$$isa || exit 1; done
	for kind in $(AVX2); do \
		$(REPORT) results/benchmarks/v3/$$kind --into docs/avx2.md --mark $$kind-v3 || exit 1; done
	for kind in gpu-layers gpu-papers; do \
		$(REPORT) results/benchmarks/$$kind --into docs/kernels.md --mark $$kind || exit 1; done
	$(REPORT) results/pdigits --table time-to-accuracy --into docs/results.md --mark time-to-accuracy
	for name in $(SLIDES) $(MNIST:=-mnist); do \
		$(REPORT) results/$$name --into docs/slides.md --mark $$name || exit 1; done
	for name in $(IMAGES); do \
		$(REPORT) results/$$name --into docs/images.md --mark $$name || exit 1; done
	for name in $(FINDINGS); do \
		$(REPORT) results/$$name --into docs/findings.md --mark $$name || exit 1; done
	for name in $(PAPER); do \
		$(REPORT) results/$$name --into docs/paper.md --mark $$name || exit 1; done
	$(BIN)/python -m tools.tree docs/architecture.md

clean:
	rm -rf $(VENV) $(THIRD) runs site build
