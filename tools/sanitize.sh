#!/bin/sh
# Run the tests of the C and Cython code under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tools/sanitize.sh [pytest arguments]
#
# Builds a copy of the tree, so that the one you work in keeps its own build. Needs GCC with libasan
# and libubsan, and a Python (PYTHON, or python3) that has Cython, setuptools, NumPy and the test extra.
set -eu
python=${PYTHON:-python3}
CC=${CC:-gcc}
export CC

cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r csrc fastnn tests setup.py pyproject.toml README.md LICENSE "$copy"
find "$copy" -name '*.so' -exec rm {} +
cd "$copy"
FASTNN_SANITIZE=1 "$python" setup.py -q build_ext --inplace

# The interpreter itself was not built for this: its leaks are not ours, and the run-time libraries
# have to be there before it starts.
# What is slow under them is no fault: tests with a time limit are left out.
[ $# -gt 0 ] || set -- tests/kernels tests/test_lowering.py tests/test_determinism.py \
    tests/test_concurrency.py tests/test_hypothesis_models.py -k "not ctrl_c"
ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-} \
UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-} \
LD_PRELOAD="$("$CC" -print-file-name=libasan.so) $("$CC" -print-file-name=libubsan.so)" \
    "$python" -m pytest -q -p no:cacheprovider "$@"
