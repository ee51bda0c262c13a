"""Make PyPI's torch importable without its CUDA wheels, for the CPU variant of the images.

PyPI holds only the CUDA build of torch, whose shared objects are linked to about 2.5 GB of CUDA
libraries. A CPU never calls them, but the dynamic loader insists on finding each one. For every
such library that is not installed, this compiles a small library of the same name that defines
the symbols torch refers to. A build step runs it; neither it nor the compiler reaches the image.

usage: python cuda_stubs.py SITE_PACKAGES OUTPUT_FOLDER
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

CUDA_LIBRARY = re.compile(
    r"^lib(cudart|cublas|cublasLt|cudnn|cufft|cufile|cupti|curand|cusolver|cusparse|cusparseLt"
    r"|nccl|nvshmem_host|nvrtc|nvJitLink|nvToolsExt)\.so"
)

# Symbols without a version do not say which library they are from; their prefix does.
SYMBOL_OF_LIBRARY = {
    "cublas": r"^cublas(?!Lt)",
    "cublasLt": r"^cublasLt",
    "cudart": r"^(cuda|__cuda)",
    "cudnn": r"^cudnn",
    "cufft": r"^cufft",
    "cufile": r"^cuFile",
    "cupti": r"^cupti",
    "curand": r"^curand",
    "cusolver": r"^cusolver",
    "cusparse": r"^cusparse(?!Lt)",
    "cusparseLt": r"^cusparseLt",
    "nccl": r"^p?nccl",
    "nvrtc": r"^nvrtc",
    "nvshmem_host": r"nvshmem",
}


@dataclass
class Links:
    """What a set of shared objects expects from libraries outside it."""

    needed: set[str] = field(default_factory=set)
    versioned: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    defined: set[str] = field(default_factory=set)
    unversioned: set[str] = field(default_factory=set)


def readelf(*arguments: str) -> list[str]:
    """The lines that binutils' readelf prints."""
    return subprocess.check_output(["readelf", "-W", *arguments], text=True).splitlines()


def read_links(objects: list[Path]) -> Links:
    """Collects needed libraries and undefined symbols of the shared objects."""
    links = Links()
    for path in objects:
        for line in readelf("-d", str(path)):
            match = re.search(r"NEEDED.*\[(.*)\]", line)
            if match and CUDA_LIBRARY.match(match[1]):
                links.needed.add(match[1])
        library_of_version = read_version_needs(path)
        for line in readelf("--dyn-syms", str(path)):
            read_symbol(line.split(), library_of_version, links)
    return links


def read_version_needs(path: Path) -> dict[str, str]:
    """Maps each symbol version that a shared object asks for to the library it comes from."""
    result: dict[str, str] = {}
    library = ""
    for line in readelf("-V", str(path)):
        if match := re.search(r"File: (\S+)", line):
            library = match[1]
        elif library and "Flags" in line and (match := re.search(r"Name: (\S+)", line)):
            result.setdefault(match[1], library)
    return result


def read_symbol(columns: list[str], library_of_version: dict[str, str], links: Links) -> None:
    """Files one line of the dynamic symbol table under what it defines or asks for."""
    if len(columns) < 8:
        return
    kind, binding, section, name = columns[3], columns[4], columns[6], columns[7]
    symbol, _, version = name.replace("@@", "@").partition("@")
    if section != "UND":
        links.defined.add(symbol)
    elif binding != "WEAK" and kind in ("FUNC", "NOTYPE", "OBJECT"):
        if not version:
            links.unversioned.add(symbol)
        elif CUDA_LIBRARY.match(library_of_version.get(version, "")):
            links.versioned[library_of_version[version]].add((symbol, version))


def symbols_of(library: str, links: Links) -> list[tuple[str, str]]:
    """The symbols, each with its version or "", that a stub of the library has to define."""
    symbols = set(links.versioned[library])
    match = CUDA_LIBRARY.match(library)
    pattern = SYMBOL_OF_LIBRARY.get(match[1] if match else "")
    if pattern:
        missing = links.unversioned - links.defined
        symbols |= {(symbol, "") for symbol in missing if re.search(pattern, symbol)}
    return sorted(symbols)


def write_stub(library: str, symbols: list[tuple[str, str]], folder: Path) -> None:
    """Compiles a library whose functions report failure, should anything ever call them."""
    by_version: dict[str, list[str]] = defaultdict(list)
    source = []
    for symbol, version in symbols:
        by_version[version].append(symbol)
        failure = '(long)""' if re.search("Error(String|Name)", symbol) else "1"
        source.append(f"long {symbol}(void) {{ return {failure}; }}\n")
    with tempfile.TemporaryDirectory() as scratch:
        code, script = Path(scratch, "stub.c"), Path(scratch, "stub.map")
        code.write_text("".join(source))
        script.write_text(
            "".join(
                f"{version} {{ global: {' '.join(name + ';' for name in names)} }};\n"
                for version, names in by_version.items()
                if version
            )
        )
        command = ["gcc", "-w", "-shared", "-fPIC", "-Os", "-s", "-fno-builtin"]
        command += [f"-Wl,-soname,{library}", "-o", str(folder / library), str(code)]
        if script.stat().st_size:
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


def main(site_packages: Path, output: Path) -> None:
    """Writes a stub for each CUDA library that torch needs and the environment lacks."""
    output.mkdir(parents=True, exist_ok=True)
    links = read_links(sorted((site_packages / "torch/lib").glob("*.so*")))
    installed = {path.name for path in (site_packages / "nvidia").rglob("*.so*")}
    for library in sorted(links.needed - installed):
        symbols = symbols_of(library, links)
        write_stub(library, symbols, output)
        print(f"stub {library}: {len(symbols)} symbols")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
