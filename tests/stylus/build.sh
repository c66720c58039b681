#!/bin/sh
# Builds the WASM modules of tests into modules/NAME.wasm.
#
#   build.sh [--check]
#
# --check writes nothing and fails when the committed modules are not what the sources give. It
# skips itself where the tools are missing or are not those of modules/tools.txt, because the bytes
# depend on them. The tools are Debian's:
#
#   apt-get install -y rustc-web cargo-web rust-web-src lld-22 binaryen wabt
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
check=false
if [ "${1:-}" = --check ]; then
    check=true
fi

# Debian's compiler, also where another one comes first: no other has the sources of `std` beside it.
export PATH="/usr/bin:$PATH"
sources=/usr/lib/rustlib/src/rust

missing=
for tool in /usr/bin/cargo /usr/bin/rustc "$sources/library/std" wasm-ld-22 wasm-opt wasm-objdump; do
    [ -e "$tool" ] || command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "SKIPPED: tests/stylus/build.sh: missing:$missing"
    $check && exit 0
    exit 1
fi

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
trap 'exit 1' HUP INT TERM

{
    rustc --version
    wasm-ld-22 --version
    wasm-opt --version
} >"$built/tools.txt"
if $check && ! cmp -s "$built/tools.txt" "$here/modules/tools.txt"; then
    echo "SKIPPED: tests/stylus/build.sh: these tools are not those of modules/tools.txt:" \
        "$(paste -sd, "$built/tools.txt")"
    exit 0
fi

for folder in "$here" "$here/oz-erc20"; do
    (cd "$folder" && cargo fetch --quiet --locked)
done
cargo_home=$(CDPATH='' cd -- "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
separator=$(printf '\037')
# No path of this machine may get into a module. The features are those of WebAssembly 1.0 and what
# every Stylus chain takes beside them.
CARGO_ENCODED_RUSTFLAGS=$(
    IFS=$separator
    set -- \
        -Ctarget-cpu=mvp \
        -Ctarget-feature=+bulk-memory,+multivalue,+mutable-globals,+sign-ext \
        -Clink-arg=-zstack-size=32768 \
        "--remap-path-prefix=$cargo_home=/cargo" \
        "--remap-path-prefix=$here=/contracts" \
        "--remap-path-prefix=$sources=/rust" \
        "--remap-path-prefix=$(readlink -f "$sources")=/rust"
    # The registry's folder is named after its host. Of several prefixes that fit, the last counts.
    for registry in "$cargo_home"/registry/src/*; do
        set -- "$@" "--remap-path-prefix=$registry=/crates"
    done
    printf '%s' "$*"
)
export CARGO_ENCODED_RUSTFLAGS
# The standard library is built along: Debian has none for this target that the flags above could
# apply to, and building it is not a stable feature.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/target}"

# build FOLDER PACKAGE: one package at a time, since packages that are built together share features.
build() {
    (cd "$here/$1" && cargo build --quiet --locked --release --package "$2" \
        --target wasm32-unknown-unknown -Zbuild-std=core,alloc,std,panic_abort)
    # Binaryen knows features by other names than the compiler, which has named them in a section.
    wasm-opt -O3 --mvp-features --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
        --enable-sign-ext --strip-debug --strip-producers --strip-target-features \
        "$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/$(printf %s "$2" | tr - _).wasm" -o "$built/$2.wasm"
    verify "$built/$2.wasm"
}

refuse() {
    echo "build.sh: $1" >&2
    exit 1
}

verify() {
    name=$(basename "$1")
    wasm-objdump -x "$1" >"$built/parts"
    grep -q -- '-> "user_entrypoint"$' "$built/parts" || refuse "$name exports no user_entrypoint"
    grep -q -- '^ - memory\[0\] -> "memory"$' "$built/parts" || refuse "$name exports no memory"
    if grep -- ' <- ' "$built/parts" | grep -v ' <- vm_hooks\.'; then
        refuse "$name imports from elsewhere than vm_hooks"
    fi
    [ "$(wc -c <"$1")" -le 131072 ] || refuse "$name is longer than 128 KiB"
    for path in "$cargo_home" "$here" "$HOME/" /usr/ crates.io; do
        if grep -aqF -- "$path" "$1"; then
            refuse "$name has a path of this machine in it: $path"
        fi
    done
}

for package in amm erc20 guard hashing relay; do
    build . "$package"
done
build oz-erc20 oz-erc20
rm -f "$built/parts"

if $check; then
    if ! diff -rq "$here/modules" "$built"; then
        refuse 'the modules are not what their sources give; run build.sh and commit the result'
    fi
else
    mkdir -p "$here/modules"
    rm -f "$here"/modules/*
    cp "$built"/* "$here/modules/"
fi
