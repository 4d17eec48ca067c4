#!/usr/bin/env bash
# The whole test suite, from a fresh machine: installs into .venv, then style, then tests. Under 10 minutes.
#   bash test.sh                 everything
#   bash test.sh -m "not slow"   the quick ones; any other pytest option works too
set -euo pipefail
source "$(dirname "$0")/setup.sh"

ruff format --check .
ruff check .
# A process a core; each of them one thread, or they would wait for one another.
OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
