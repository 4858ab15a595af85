# Needs Python 3.11 or later (PYTHON=...), with its venv module, and nothing else. A C compiler makes the engine faster.
#   make serve   a TLS server on 127.0.0.1:8443 and cleartext HTTP/2 on 127.0.0.1:8080, with a page to look at
#   make test    the whole suite on the installed engine, in a few minutes
#   make test-all   the same with longer floods and more examples, and then on pure Python
#   make check   lint, formatting, spelling, types, architecture, maps: seconds
#   make types   checks with pyright that all public names have types
#   make coverage  checks that tests/engine takes every branch of the engine, and all tests 95 % of each other room's
#   make bench   races headrace's server and client with others, side by side; BENCH_ARGS=--quick is a look
#   make speed-gate   fails if a micro benchmark takes over 5 % more instructions than in the commit before
#   make fuzz    searches inputs that break TARGET, for TIME seconds; without TARGET, lists the targets; TARGET=all runs each
#   make soak    mixed load for TIME seconds (7200 before a release): fails unless memory, descriptors and tasks stay flat
#   make wheels  builds a wheel for each Python that it finds, tries each in a bare environment, and prints a table
#   make docs    builds the documentation into site/
#   make clean   removes everything that these commands made
# HEADRACE_PURE=1 with any of them leaves the engine uncompiled.

PYTHON ?= python3
VENV ?= .venv
TLS_ADDRESS ?= 127.0.0.1:8443
CLEARTEXT_ADDRESS ?= 127.0.0.1:8080
PYTEST_ARGS ?=
TARGET ?=
TIME ?= 60
INPUT ?=
FUZZ_ARGS ?=
SOAK_ARGS ?=
WHEEL_ARGS ?=
GATE_ARGS ?=
# One more than there are cores: many tests wait for programs and sockets.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each test process compiles the tests anew, and each server that they start the whole of src/.
unexport PYTHONDONTWRITEBYTECODE
SOURCES := $(shell find src -type f -not -name '*.pyc' -not -name '*.md' -not -path '*/.*' -not -path '*.egg-info/*') pyproject.toml setup.py
MODE := $(if $(filter-out 0,$(HEADRACE_PURE)),pure,native)

.PHONY: serve test test-all test-installed test-pure check types coverage bench micro speed-gate fuzz soak wheels docs clean
.DELETE_ON_ERROR:

serve: $(VENV)/installed-$(MODE)
	@$(BIN)/headrace --version
	@exec $(BIN)/headrace serve headrace.demo:app --dev-tls --bind $(TLS_ADDRESS) --cleartext-bind $(CLEARTEXT_ADDRESS)

test: test-installed

# One round is enough where the installed engine is pure, too.
test-all: export HEADRACE_CI_LONG := 1
test-all: test-installed
	@if $(BIN)/headrace --version | grep -q compiled; then $(MAKE) test-pure; fi

# First all tests that can share the machine, on all cores; then those that measure waiting times, two at a time and with
# nothing else (they do not count the time in which there was no core for them). A selection may leave one of the two groups
# without a test (pytest's exit code 5), but not both.
RUN_TESTS = shared=0; $(1) -n $(JOBS) --dist loadfile --no-loadscope-reorder --only=shared || shared=$$?; \
    alone=0; $(1) -n 2 --dist loadfile --no-loadscope-reorder --only=alone || alone=$$?; \
    case "$$shared $$alone" in "0 0" | "0 5" | "5 0") ;; \
        "5 5") echo "No test was selected." >&2; exit 5 ;; \
        *) echo "Failed: pytest ended with $$shared for the tests that share the machine, and $$alone for those that do not." >&2; exit 1 ;; esac

test-installed: $(VENV)/installed-$(MODE) $(VENV)/group-test
	@$(call RUN_TESTS,$(BIN)/python -m pytest $(PYTEST_ARGS))

# The same environment, but src/ comes first on the path, where nothing is ever compiled.
test-pure: $(VENV)/installed-$(MODE) $(VENV)/group-test
	@$(call RUN_TESTS,PYTHONPATH=src $(BIN)/python -m pytest $(PYTEST_ARGS) --engine=pure)

check: $(VENV)/dependencies $(VENV)/group-test $(VENV)/group-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/python -m pytest -q tests/test_architecture.py tests/test_maps.py tests/test_references.py

# Pyright asks the first python on the path for the packages that headrace stands on.
types: $(VENV)/dependencies $(VENV)/group-test $(VENV)/group-types
	PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=src $(BIN)/pyright --verifytypes headrace --ignoreexternal
	PYTHONPATH=src $(BIN)/python -m pytest -q tests/typing

# On pure Python, as nothing can be measured in a compiled module: this is CI's run of the pure engine, too. First WHOLE by
# its own tests alone, which need no luck; then each room by all tests but those that measure how long others wait. Long
# floods take no further branch.
WHOLE := src/headrace/engine/*,src/headrace/client/pool/policy.py,src/headrace/client/pool/place.py
WHOLE_TESTS := tests/engine $(addprefix tests/client/pool/test_pool,.py _properties.py _tunnels.py)
ROOM_TESTS := $(addprefix tests/,asgi bus cli client isolation lawful properties protocols proxy security server traps \
    transport turns websocket wsgi conformance/test_h2spec.py conformance/test_h2specd.py test_pytest_plugin.py test_exports.py) \
    $(addprefix --ignore=,$(filter-out tests/engine,$(WHOLE_TESTS))) \
    $(addprefix --ignore=tests/,client/test_soak.py client/connection/test_heap.py client/connection/test_chaos.py) \
    $(addprefix --ignore=tests/security/,test_slow_clients.py test_slow_http1.py client/test_live.py client/test_content_live.py) \
    $(addprefix --ignore=tests/turns/,test_http1.py test_http2.py test_measure.py websocket/test_server.py \
        websocket/test_client.py wsgi/test_alone.py)
ROOM_PERCENT := 95
COVER = HEADRACE_CI_LONG=0 PYTHONPATH=src $(BIN)/python -m coverage run $(1) -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder --engine=pure

coverage: $(VENV)/dependencies $(VENV)/group-test
	@rm -f .coverage .coverage.*
	@$(call COVER) $(WHOLE_TESTS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --include='$(WHOLE)' --fail-under=100
	@$(call COVER,--omit='src/headrace/engine/*') --only=shared $(ROOM_TESTS)
	@$(BIN)/python -m coverage combine --append --quiet
	@$(BIN)/python -m coverage json --quiet --omit='src/headrace/engine/*' -o .coverage.json
	@$(BIN)/python -m tools.coverage_rooms .coverage.json $(ROOM_PERCENT)

bench: $(VENV)/installed-$(MODE) $(VENV)/group-bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

micro: $(VENV)/installed-$(MODE) $(VENV)/group-bench
	$(BIN)/python -m benchmarks.micro $(BENCH_ARGS)

# Needs valgrind, and a clone with the commit before. The base is compiled into build/speed-gate, once.
speed-gate: $(VENV)/installed-$(MODE)
	@$(BIN)/python -m benchmarks.gate $(GATE_ARGS)

# On pure Python, whose coverage can be measured. FUZZ_ARGS=--twin compares each input with the compiled engine in .venv.
fuzz: $(VENV)/dependencies $(VENV)/group-test $(VENV)/group-fuzz
	@PYTHONPATH=src $(BIN)/python -m tests.fuzz $(TARGET) --time $(TIME) $(if $(INPUT),--input $(INPUT)) $(FUZZ_ARGS)

# Leaves samples and logs in build/soak; SOAK_ARGS=--report reports on them, also while the run goes on.
soak: $(VENV)/installed-$(MODE) $(VENV)/group-test
	@$(BIN)/python -m tests.soak --time $(TIME) $(SOAK_ARGS)

# WHEEL_ARGS="--only 3.13" builds one.
wheels: $(VENV)/group-wheels
	@$(BIN)/python -m tools.wheels $(WHEEL_ARGS)

docs: $(VENV)/group-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

clean:
	rm -rf .venv .venv-* .autobahn .dev-tls .fuzz .pythons .pythons.log .coverage .coverage.* build dist site src/*.egg-info benchmarks/results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"headrace needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. Say make PYTHON=... with another one.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

# A wheel is built and installed, never a link to src/: so the compiled engine and the pure one cannot be mixed up.
# What earlier builds left is removed first, or a deleted module would be installed for ever; setup.py sees to the rest.
$(VENV)/installed-$(MODE): $(VENV)/made $(SOURCES)
	@echo "Building and installing headrace (a minute, when there is a C compiler) ..."
	@rm -rf build/bdist* $(VENV)/installed-*
	@if [ -d build ]; then find build -path 'build/lib*' -type f -not -name '*.so' -delete; fi
	$(BIN)/python -m pip install --quiet '.[dev-tls]'
	@touch $@

# What headrace needs at run time, for the type checker, which has no use for a compiled engine.
$(VENV)/dependencies: $(VENV)/made pyproject.toml
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*p["dependencies"], *p["optional-dependencies"]["dev-tls"], sep="\n")' > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/group-%: $(VENV)/made pyproject.toml
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@
