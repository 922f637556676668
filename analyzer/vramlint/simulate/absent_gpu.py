"""Lets a torch without a GPU take tensors for CUDA tensors, through a device that exists in name only.

Autograd, autocast and the optimizers ask C++ for the device of a tensor before they do anything; `absent_gpu.cpp`
answers. It is compiled once for each version of torch and must be loaded before torch is imported.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vramlint.simulate.errors import CannotSimulate, MissingPackage

_SOURCE = Path(__file__).with_name("absent_gpu.cpp")
_COMPILERS = ("c++", "g++", "clang++")
_SECONDS = 300
_NO_COMPILER = (
    "no C++ compiler that builds the device ({tried}): the tensors are said to be on the CPU instead. Autocast then "
    "follows the CPU's list of operators, and a few operators are taken apart as on the CPU: without autocast and "
    "dropout the figures hardly differ, with them by some ten percent"
)


@dataclass(frozen=True, slots=True)
class Device:
    """Which kind of device the tensors are said to be on, and what differs from a GPU for want of a compiler."""

    kind: str
    note: str | None = None


def claim_device() -> Device:
    """Return the device for tensors without data; torch must not have been imported before.

    Raises:
        MissingPackage: where torch is not installed.
        CannotSimulate: where torch was imported too early.
    """
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        raise MissingPackage("torch is not installed; `pip install 'vramlint[simulate]'` brings it")
    if "torch" in sys.modules:
        if _is_loaded(Path(found.origin).parent):
            return Device("cuda")
        raise CannotSimulate("torch was imported before the simulator; run it in a process of its own")
    return _load(Path(found.origin).parent)


def _is_loaded(home: Path) -> bool:
    maps = Path("/proc/self/maps")
    return maps.exists() and str(_library(home)) in maps.read_text(encoding="utf-8")


def _load(home: Path) -> Device:
    library = _library(home)
    if not library.exists() and (failure := _compile(home, library)):
        return Device("cpu", _NO_COMPILER.format(tried=failure))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # one that is there would only be waited for
    try:
        # In this order: what torch with CUDA registers has to be there before it is replaced.
        for name in ("libtorch_global_deps.so", "libtorch_cuda.so"):
            if (part := home / "lib" / name).exists():
                ctypes.CDLL(str(part), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return Device("cpu", _NO_COMPILER.format(tried=str(error).splitlines()[0]))
    return Device("cuda")


def _library(home: Path) -> Path:
    """Return where the compiled device for this torch and this source is kept."""
    key = hashlib.sha256(_SOURCE.read_bytes() + str(home).encode() + version("torch").encode()).hexdigest()[
        :16
    ]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "vramlint" / f"absent_gpu-{key}.so"


def _compile(home: Path, library: Path) -> str | None:
    """Compile the device; return what went wrong, None if nothing did."""
    compilers = [
        path for name in (os.environ.get("CXX"), *_COMPILERS) if name and (path := shutil.which(name))
    ]
    if not compilers:
        return f"looked for {', '.join(_COMPILERS)}"
    library.parent.mkdir(parents=True, exist_ok=True)
    draft = library.with_suffix(f".{os.getpid()}")
    done = subprocess.run(  # noqa: S603  the compiler of this machine on a file of ours
        _command(compilers[0], home, draft), capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        return f"{compilers[0]} failed: {lines[0]}"
    draft.replace(library)
    return None


def _command(compiler: str, home: Path, library: Path) -> list[str]:
    return [
        compiler, "-O1", "-std=c++20", "-shared", "-fPIC",
        f"-I{home / 'include'}", str(_SOURCE), "-o", str(library),
        f"-L{home / 'lib'}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{home / 'lib'}",
    ]  # fmt: skip
