#!/usr/bin/env bash
# Renew the lock files: what `make` installs, on any Python from 3.11 on, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
export_flags=(--all-extras --group dev --no-emit-project --no-annotate --no-header --format requirements-txt -q)
"$uv" lock -q --upgrade
"$uv" export --frozen "${export_flags[@]}" -o lock/newest.txt
rm -f uv.lock
