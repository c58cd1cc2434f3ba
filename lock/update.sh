#!/usr/bin/env bash
# Renew the lock files: what `make` and `.ci/run` install, on any Python from 3.11 on, with hashes.
#   uv.txt      the installer itself
#   newest.txt  the newest versions of everything, for development and tests
#   oldest.txt  the lowest versions that pyproject.toml allows, for the quick part of the tests
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
export_flags=(--all-extras --group dev --no-emit-project --no-annotate --no-header --format requirements-txt -q)
compile_flags=(--generate-hashes --universal --python-version 3.11 --upgrade --no-annotate --no-header --no-emit-index-url -q)
"$uv" lock -q --upgrade
"$uv" export --frozen "${export_flags[@]}" -o lock/newest.txt
rm -f uv.lock
"$uv" pip compile "${compile_flags[@]}" --resolution lowest-direct --extra mysql --extra prices --extra cli \
  pyproject.toml lock/oldest.in -o lock/oldest.txt
"$uv" pip compile "${compile_flags[@]}" - -o lock/uv.txt <<< uv
