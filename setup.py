"""Builds the one extension; everything else stands in pyproject.toml."""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

sanitize = os.environ.get("FASTDIV_SANITIZE") == "1"
flags = ["-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-fvisibility=hidden", "-g0"]
flags += os.environ.get("FASTDIV_CFLAGS", "").split()
links = ["-pthread"]
if sanitize:
    flags += ["-DFD_SANITIZE", "-DFD_COMPACT", "-DAHEAD=1", "-O1", "-g", "-fno-omit-frame-pointer"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    links += ["-fsanitize=address,undefined"]

extension = Extension(
    "fastdiv._core",
    sources=["fastdiv/_core.pyx", *sorted(str(path) for path in Path("src_c").glob("*.c"))],
    depends=sorted(
        str(path) for pattern in ("*.h", "*.def") for path in Path("src_c").glob(pattern)
    ),
    include_dirs=["src_c", np.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
    ],
    extra_compile_args=flags,
    extra_link_args=links,
    libraries=["m"],
)
setup(ext_modules=cythonize([extension], build_dir="build"))
