#!/usr/bin/env bash
# Make a virtual environment from a lock file, with this project in it:  lock/install.sh .venv lock/newest.txt
# It needs Python 3.11 or newer with `venv`, and a package index; PYTHON=... names the Python to use.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 lock=$2

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if is_new_enough "$candidate"; then
      if [ "$candidate" != "${PYTHON:-python3}" ]; then
        echo "${PYTHON:-python3} is older than 3.11 or missing: using $candidate." >&2
      fi
      echo "$candidate"
      return
    fi
  done
  local tried=${PYTHON:-python3}
  echo "Python 3.11 or newer is needed; $tried is $("$tried" --version 2>&1 || true)." >&2
  echo "Install one, or name one: make PYTHON=/path/to/python3.12 ..." >&2
  return 1
}

if ! is_new_enough "$venv/bin/python"; then
  python=$(find_python)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python has no venv: on Debian and Ubuntu, apt-get install python3-venv" >&2
    exit 1
  fi
  "$python" -m venv --clear "$venv"
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip --upgrade >/dev/null
"$venv/bin/python" -m pip install -q --disable-pip-version-check --root-user-action=ignore \
  --require-hashes --only-binary :all: -r lock/uv.txt

# uv does not read pip's configuration: an index and certificates of one's own that pip knows of hold for it too.
pip_setting() { "$venv/bin/python" -m pip config list 2>/dev/null | sed -n "s/^global\\.$1='\\(.*\\)'$/\\1/p" || true; }
pip_index=${PIP_INDEX_URL:-$(pip_setting index-url)}
if [ -n "$pip_index" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$pip_index}; fi
pip_cert=${PIP_CERT:-$(pip_setting cert)}
if [ -n "$pip_cert" ]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$pip_cert}; fi
if [ ! -w "${HOME:-/nonexistent}" ]; then export UV_CACHE_DIR=${UV_CACHE_DIR:-$PWD/.cache/uv}; fi
export UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_PYTHON_DOWNLOADS=never

uv=("$venv/bin/python" -m uv pip install -q --python "$venv/bin/python")
"${uv[@]}" --require-hashes -r "$lock"
# hatchling is in the lock files, with hashes: nothing is fetched for the build.
"${uv[@]}" --no-deps --no-build-isolation -e .
touch "$venv/.installed"
