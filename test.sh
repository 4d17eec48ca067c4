#!/usr/bin/env bash
# The whole test suite, from a fresh machine: installs into .venv, then style, then tests. Under 10 minutes.
#   bash test.sh                 everything
#   bash test.sh -m "not slow"   the quick ones; any other pytest option works too
set -euo pipefail
source "$(dirname "$0")/setup.sh"

ruff format --check .
ruff check .
pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
