#!/bin/sh
# Check the kernels on CPUs that this machine is not: old x86-64 and arm64, emulated by QEMU.
#
#   tools/emulate.sh
#
# Needs qemu-user, and a cross compiler for the other architecture: on Debian
#   apt-get install qemu-user gcc gcc-aarch64-linux-gnu        (on x86-64)
# and a Python (PYTHON, or python3) with Cython and setuptools, to read the flags in setup.py.
set -eu
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need() {
    command -v "$1" >/dev/null || { echo "tools/emulate.sh: $1 is missing; see its head" >&2; exit 2; }
}

# build MACHINE COMPILER: the self-check with all levels of that machine
build() {
    need "$2"
    "$python" - "$1" >"$work/levels" <<'PYTHON'
import runpy
import sys

setup = runpy.run_path("setup.py")
for level, flags in setup["LEVELS"][sys.argv[1]].items():
    print(level, *setup["FLAGS"], *flags)
PYTHON
    objects=
    while read -r level flags; do
        # shellcheck disable=SC2086
        "$2" $flags -Wall -Wextra -DFNN_LEVEL="$level" -c csrc/level.c -o "$work/$1-$level.o"
        objects="$objects $work/$1-$level.o"
    done <"$work/levels"
    # shellcheck disable=SC2086
    "$2" -std=c11 -O1 -Wall -Wextra -static -Icsrc tests/csrc/selfcheck.c csrc/dispatch.c $objects \
        -lm -o "$work/selfcheck-$1"
}

run() {
    echo "$*" | sed "s|$work/||"
    "$@"
}

need qemu-x86_64
need qemu-aarch64
build x86_64 "${CC_X86_64:-gcc}"
build aarch64 "${CC_AARCH64:-aarch64-linux-gnu-gcc}"
run qemu-x86_64 -cpu Nehalem "$work/selfcheck-x86_64" generic
run qemu-x86_64 -cpu Haswell "$work/selfcheck-x86_64" avx2
run qemu-aarch64 "$work/selfcheck-aarch64" neon
