"""Builds the two extensions; everything else stands in pyproject.toml."""

import os
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

sanitize = os.environ.get("FASTDIV_SANITIZE") == "1"
flags = ["-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-fvisibility=hidden", "-g0"]
flags += os.environ.get("FASTDIV_CFLAGS", "").split()
links = ["-pthread"]
if sanitize:
    flags += ["-DFD_SANITIZE", "-DFD_COMPACT", "-DAHEAD=1", "-O1", "-g", "-fno-omit-frame-pointer"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    links += ["-fsanitize=address,undefined"]

# Hardening, and never -ffast-math: linked with it, a library sets flush-to-zero for its process.
HARDENING = ["-fstack-protector-strong", "-fstack-clash-protection"]
if not sanitize:  # AddressSanitizer has checks of its own in place of the fortified functions
    HARDENING += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
HARDENED_LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
if platform.machine() == "x86_64":
    HARDENING += ["-fcf-protection=full"]
    HARDENED_LINK += ["-Wl,-z,shstk"]  # said outright: the start files of some C libraries do not
elif platform.machine() == "aarch64":
    HARDENING += ["-mbranch-protection=standard"]


class HardenedBuild(build_ext):
    """Adds those of the flags that this compiler and this linker take."""

    def build_extensions(self):
        """Ask first: what is unknown to one of them is left out."""
        with tempfile.TemporaryDirectory() as place:
            source = Path(place, "empty.c")
            source.write_text("int empty(void);\nint empty(void) { return 0; }\n")
            for one in self.extensions:
                one.extra_compile_args += [f for f in HARDENING if self.takes(source, compile=[f])]
                one.extra_link_args += [f for f in HARDENED_LINK if self.takes(source, link=[f])]
        one_by_one = self.compiler.compile

        def compile_all(sources, *arguments, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # a source of kernels takes minutes
                parts = pool.map(lambda s: one_by_one([s], *arguments, **options), sources)
                return list(chain.from_iterable(parts))

        self.compiler.compile = compile_all
        super().build_extensions()

    def takes(self, source, compile=(), link=()):
        """Whether they make a library of the source without a warning."""
        try:
            objects = self.compiler.compile(
                [str(source)], source.anchor, extra_postargs=["-O1", "-Werror", *compile]
            )
            if link:
                target = str(source.with_suffix(".so"))
                fatal = ["-Wl,--fatal-warnings", *link]
                self.compiler.link_shared_object(objects, target, extra_postargs=fatal)
        except (CompileError, LinkError):
            return False
        return True


HEADERS = [path for pattern in ("*.h", "*.def") for path in Path("src_c").rglob(pattern)]


def compiled(name, sources, unread=()):
    """One extension of the package, built as all are; `unread`: folders it includes nothing of."""
    depends = [path for path in HEADERS if path.parent.name not in unread]
    return Extension(
        f"fastdiv.{name}",
        sources=[f"fastdiv/{name}.pyx", *sorted(str(path) for path in sources)],
        depends=sorted(str(path) for path in depends),
        include_dirs=["src_c", np.get_include()],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
        ],
        extra_compile_args=list(flags),
        extra_link_args=list(links),
        libraries=["m"],
    )


extensions = [
    compiled("_core", Path("src_c").glob("*.c"), unread=["gaussian"]),
    compiled("_gaussian", [*Path("src_c/gaussian").glob("*.c"), Path("src_c/parallel.c")]),
]
setup(ext_modules=cythonize(extensions, build_dir="build"), cmdclass={"build_ext": HardenedBuild})
