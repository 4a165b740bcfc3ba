#!/bin/sh
# Run the tests of the C and Cython code under sanitizers.
#
#   tools/sanitize.sh address [pytest arguments]    AddressSanitizer and UndefinedBehaviorSanitizer
#   tools/sanitize.sh thread [pytest arguments]     ThreadSanitizer
#
# Builds a copy of the tree in build/sanitize, so that the one you work in keeps its own build. Needs
# GCC with libasan, libubsan and libtsan, and a Python (PYTHON, or python3) that has Cython, setuptools,
# NumPy and the test extra; `thread` needs LLVM's OpenMP with Archer, too (Debian: libomp-dev).
set -eu
kind=${1:?address or thread}
shift
python=${PYTHON:-python3}
# Clang's ThreadSanitizer looks at no access wider than 16 bytes, so at none of a vector.
CC=${CC:-gcc}
export CC

library() { # path of one of the compiler's own
    path=$("$CC" -print-file-name="$1")
    [ "$path" != "$1" ] || { echo "$CC has no $1" >&2; exit 1; }
    echo "$path"
}

# The run-time libraries have to be there before the interpreter starts. It was not built for this
# itself: its leaks, and what NumPy's own threads do, are not ours.
without="not ctrl_c"
case $kind in
address)
    preload="$(library libasan.so) $(library libubsan.so)"
    export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
    export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
    ;;
thread)
    without="$without and not fork and not child"
    # GCC's OpenMP hands work to threads in a way that the sanitizer can't see, and every access after
    # it would look like a race. LLVM's serves the same calls, and Archer tells the sanitizer of it.
    archer=${ARCHER:-$(find /usr/lib/llvm-* /usr/lib /usr/local/lib -name libarcher.so 2>/dev/null | head -n 1)}
    [ -n "$archer" ] || { echo "no libarcher.so: ARCHER names it (Debian: libomp-dev)" >&2; exit 1; }
    preload="$(library libtsan.so) $(dirname "$archer")/libomp.so"
    export OMP_TOOL_LIBRARIES="$archer" OPENBLAS_NUM_THREADS=1
    export TSAN_OPTIONS="ignore_noninstrumented_modules=1:exitcode=66:${TSAN_OPTIONS:-}"
    ;;
*)
    echo "$kind: wanted address or thread" >&2
    exit 2
    ;;
esac

cd "$(dirname "$0")/.."
copy=$PWD/build/sanitize/$kind
mkdir -p "$copy"
# what is compiled stays, and with times kept is compiled again only where a source has changed
find "$copy" -path "$copy/build" -prune -o -type f ! -name '*.so' -exec rm {} +
tar --create --file=- --exclude='*.so' csrc fastnn tests tools setup.py pyproject.toml README.md LICENSE |
    tar --extract --file=- --directory="$copy"
cd "$copy"
FASTNN_SANITIZE=$kind "$python" setup.py -q build_ext --inplace

# What is slow under them is no fault: tests with a time limit are left out. ThreadSanitizer lets no
# child of a fork start threads. Tests of kernels run at
# every CPU level by themselves, the others once for each.
if [ $# -gt 0 ]; then
    LD_PRELOAD="$preload" "$python" -m pytest -q -p no:cacheprovider "$@"
    exit
fi
LD_PRELOAD="$preload" "$python" -m pytest -q -p no:cacheprovider tests/kernels
for level in $(LD_PRELOAD="$preload" "$python" -c 'from fastnn.kernels import levels; print(*levels.levels())'); do
    echo "$level:"
    FASTNN_CPU_LEVEL=$level LD_PRELOAD="$preload" "$python" -m pytest -q -p no:cacheprovider \
        tests/test_lowering.py tests/test_lowering_waits.py tests/test_lowering_gradients.py \
        tests/test_determinism.py tests/test_concurrency.py \
        tests/test_hypothesis_models.py -k "$without"
done
