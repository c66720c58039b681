#!/bin/sh
# forge, from PATH or from .tools of the repository, with its exit status.
#
# The launcher that npm's @foundry-rs/forge puts on PATH ends with 0 whatever forge said, so that a
# failed test would pass: where that launcher is found, the binary it starts is run instead.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
PATH=$PATH:$here/../../.tools/node_modules/.bin
if ! forge=$(command -v forge); then
    echo "forge.sh: forge not found in PATH, nor in .tools/node_modules/.bin of the repository" >&2
    exit 1
fi
forge=$(readlink -f "$forge")
case $forge in
*/@foundry-rs/forge/*)
    for binary in "${forge%/forge/*}"/forge-*/bin/forge; do
        forge=$binary
    done
    ;;
esac
exec "$forge" "$@"
