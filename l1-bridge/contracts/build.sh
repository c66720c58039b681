#!/bin/sh
# Builds the contracts of a forge project and writes artifacts/NAME.json (ABI, creation code,
# deployed code) for the contract that each src/NAME.sol is named after.
#
#   build.sh [--check] [PROJECT]     PROJECT: the folder of foundry.toml; this folder by default
#
# --check writes nothing and fails when the committed artifacts are not what the sources give.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
check=false
if [ "${1:-}" = --check ]; then
    check=true
    shift
fi
project=$(CDPATH='' cd -- "${1:-$here}" && pwd)

# What is installed must be what package-lock.json says: the compiler decides the bytes.
if ! (cd "$here" && npm ls >/dev/null 2>&1); then
    (cd "$here" && npm ci --no-audit --no-fund)
fi

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
trap 'exit 1' HUP INT TERM
cd "$project"
"$here/forge.sh" build --force --skip test --out "$built/out" --cache-path "$built/cache"

mkdir "$built/artifacts"
node - "$built" src/*.sol <<'NODE'
const fs = require("fs");
const path = require("path");
const [built, ...sources] = process.argv.slice(2);
for (const source of sources) {
  const name = path.basename(source, ".sol");
  const { abi, bytecode, deployedBytecode } = JSON.parse(
    fs.readFileSync(`${built}/out/${name}.sol/${name}.json`, "utf8"),
  );
  const artifact = { abi, bytecode: bytecode.object, deployedBytecode: deployedBytecode.object };
  fs.writeFileSync(`${built}/artifacts/${name}.json`, JSON.stringify(artifact, null, 2) + "\n");
}
NODE

if $check; then
    if ! diff -rq artifacts "$built/artifacts"; then
        echo "build.sh: the artifacts in $project are not what its sources give; run build.sh and commit the result" >&2
        exit 1
    fi
else
    mkdir -p artifacts
    rm -f artifacts/*.json
    cp "$built"/artifacts/*.json artifacts/
fi
