# Two commands do everything: `make lab` (the main job) and `make test`. `make bench` measures.
# Each installs what it needs: uv into .tools, Python packages into .venv, Debian packages by apt.

UV_VERSION := 0.13.9
UV := .tools/bin/uv

# A machine may have this set; without bytecode every start of Pulumi takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

# Under plain su(1) PATH is still a user's, without the folders of root's tools.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help install host lab test bench lint clean

help:
	@echo "make lab    deploy into the twin, boot every machine, judge it by real mail, take it down"
	@echo "make test   lint, types, unit tests and the tests that boot the twin"
	@echo "make bench  measure"
	@echo "make clean  remove .venv, .tools and a left-over lab"

$(UV):
	@python3 -m venv .tools 2>/dev/null || { \
	    [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv && \
	    python3 -m venv .tools; } || { \
	    echo "python3 -m venv failed: install Debian's package python3-venv" >&2; exit 1; }
	.tools/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/.installed: $(UV) uv.lock pyproject.toml
	$(UV) sync --frozen --compile-bytecode
	@touch $@

install: .venv/.installed

# What the lab needs of the host, installed where it lacks; refused with the reason where it cannot.
host: install
	@.venv/bin/python -m lab.host >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	    $$(.venv/bin/python -m lab.host --packages); } || true
	@.venv/bin/python -m lab.host

lab: host
	.venv/bin/gatepost lab

lint: install
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/ty check --error-on-warning

# Two processes: one for the whole labs, which mostly wait, one for all else (tests/conftest.py).
test: host lint
	.venv/bin/pytest --numprocesses 2 --no-loadscope-reorder

bench: host
	.venv/bin/python -m benchmarks

# A lab that runs is known by its folder alone: that stays until the lab has been taken down.
clean:
	@[ ! -e .lab ] || .venv/bin/gatepost lab down || { \
	    echo ".lab may be a running lab's and was not taken down: make install, then make clean" >&2; \
	    exit 1; }
	rm -rf .venv .tools .lab
