"""Builds the Cython modules, and csrc once for each CPU level of the machine's architecture.

Nothing here asks what the building machine's own CPU can do: a wheel runs on any x86-64 or arm64.
FASTNN_SANITIZE=address builds with AddressSanitizer and UndefinedBehaviorSanitizer, =thread with
ThreadSanitizer; for tools/sanitize.sh.
"""

import os
import platform
import runpy
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CSRC = Path("csrc")
SANITIZE = {
    "": [],
    "address": [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
        "-fno-wrapv",  # Python's own flags make overflow defined, and unseen
    ],
    "thread": ["-fsanitize=thread"],
}[os.environ.get("FASTNN_SANITIZE", "")]

# no-math-errno and no-trapping-math let sqrt, comparisons and conversions become vector
# instructions; neither changes a result. fp-contract=fast makes a product and a sum one
# multiply-add.
FLAGS = [
    "-std=c11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
]
OPENMP = ["-fopenmp"]
if SANITIZE:
    FLAGS += [*SANITIZE, "-fno-omit-frame-pointer", "-g"]

LEVELS = {
    "x86_64": {
        "generic": [],
        "avx2": ["-DFNN_AVX2", "-mavx2", "-mfma"],
        "avx512": [
            "-DFNN_AVX512",
            "-mavx512f",
            "-mavx512bw",
            "-mavx512dq",
            "-mavx512vl",
            "-mfma",
            "-mprefer-vector-width=512",
        ],
    },
    "aarch64": {"generic": [], "neon": ["-DFNN_NEON"]},
}


def levels() -> dict[str, list[str]]:
    machine = os.environ.get("FASTNN_BUILD_MACHINE", platform.machine())
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return LEVELS.get(machine, {"generic": []})


class BuildLevels(build_ext):
    """Links the objects of every CPU level into the one extension that picks among them."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == "fastnn.kernels.levels":
            ext.extra_objects = [
                *self.compile("dispatch.c", "dispatch", []),
                *(
                    built
                    for level, flags in levels().items()
                    for built in self.compile("level.c", level, [f"-DFNN_LEVEL={level}", *flags])
                ),
            ]
        super().build_extension(ext)

    def compile(self, source: str, name: str, flags: list[str]) -> list[str]:
        return self.compiler.compile(
            [str(CSRC / source)],
            output_dir=str(Path(self.build_temp) / name),
            include_dirs=[str(CSRC)],
            extra_postargs=[*FLAGS, "-Wall", "-Wextra", *flags],
            depends=[str(path) for path in CSRC.iterdir()],
        )


def extension(name: str) -> Extension:
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        include_dirs=[str(CSRC), "fastnn/engine"],
        depends=[str(path) for path in CSRC.iterdir()],
        extra_compile_args=[*FLAGS, *OPENMP],
        # stripped: the wheel is small
        extra_link_args=[*OPENMP, *(SANITIZE or ["-Wl,-s"])],
    )


NAMES = [
    "fastnn.kernels.levels",
    "fastnn.kernels.augmentation",
    "fastnn.kernels.codes",
    "fastnn.kernels.convolution",
    "fastnn.kernels.dense",
    "fastnn.kernels.depthwise",
    "fastnn.kernels.elementwise",
    "fastnn.kernels.embedding",
    "fastnn.kernels.group_norms",
    "fastnn.kernels.matrix",
    "fastnn.kernels.merging",
    "fastnn.kernels.noise",
    "fastnn.kernels.norms",
    "fastnn.kernels.objective",
    "fastnn.kernels.pooling",
    "fastnn.kernels.product_norms",
    "fastnn.kernels.gradients",
    "fastnn.kernels.nonzeros",
    "fastnn.kernels.python",
    "fastnn.kernels.regrouping",
    "fastnn.kernels.statistics",
    "fastnn.kernels.winograd",
    "fastnn.engine.executable",
    "fastnn.engine.openmp",
    "fastnn.engine.processes",
    "fastnn.engine.team",
    "fastnn.engine.turns",
]

# The flags above are read by tools/emulate.sh, too.
if __name__ == "__main__":
    runpy.run_path("tools/operands.py", run_name="__main__")
    setup(
        ext_modules=cythonize(
            [extension(name) for name in NAMES],
            compiler_directives={
                "language_level": "3",
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "embedsignature": True,
            },
            build_dir="build/cython",
        ),
        cmdclass={"build_ext": BuildLevels},
    )
