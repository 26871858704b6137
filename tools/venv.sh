# Sourced by the tools: finds a Python, keeps `.venv` in step with pyproject.toml.
#
#   prepare_venv EXTRAS     e.g. `prepare_venv test`; afterwards $py is the interpreter to use
#
# PYTHON=/path/to/python chooses the interpreter that makes the environment,
# DURABLE_WF_VENV=/path another place for it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${DURABLE_WF_VENV:-$root/.venv}
py=$venv/bin/python

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14 python; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    local base
    base=$(find_python) || die "durable_wf needs Python 3.11 or newer, and none was found." \
        "Install one, or name it: PYTHON=/path/to/python $0"
    "$base" -c 'import venv, ensurepip' >/dev/null 2>&1 || die "$base has no venv module." \
        "On Debian and Ubuntu: apt-get install python3-venv"
    say "making $venv with $("$base" --version)"
    "$base" -m venv "$venv" || die "could not make $venv"
}

prepare_venv() {
    local extras=$1 stamp mark
    if ! { [ -x "$py" ] && is_new_enough "$py" && "$py" -m pip --version >/dev/null 2>&1; }; then
        make_venv
    fi
    stamp=$venv/.durable_wf-${extras:-plain}
    mark="$root $(cksum <"$root/pyproject.toml") $("$py" --version)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$mark" ] && [ -x "$venv/bin/dwf" ]; then
        return 0
    fi
    say "installing durable_wf${extras:+ with what its $extras needs} into $venv"
    local log
    log=$(mktemp)
    if ! "$py" -m pip install --quiet --disable-pip-version-check --no-input \
            --editable "$root${extras:+[$extras]}" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        rm -f "$log"
        die "the installation failed; the lines above are pip's own (is a package index in reach?)"
    fi
    rm -f "$log"
    printf '%s' "$mark" >"$stamp"
}
