#!/bin/sh
# Builds the contracts of the benchmarks' workloads; `build.sh --check` compares the committed
# artifacts with the sources.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
exec "$here/../../l1-bridge/contracts/build.sh" "$@" "$here"
