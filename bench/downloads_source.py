"""What bench/downloads.py downloads: a made-up model with its archives, and nginx for them."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

SHARDS = 4
MIB = 1 << 20


class Source:
    """The files below a folder; archives are made one at a time, since they are large."""

    def __init__(self, root: Path, size: int) -> None:
        self.root = root
        self.raw = root / "raw"
        self.sums: dict[str, str] = {}
        if not self.raw.exists():
            self.raw.mkdir(parents=True)
            self._make(size)
        (self.raw / "SHA256SUMS").unlink(missing_ok=True)
        for path in sorted(self.raw.iterdir()):
            self._note(path)
        lines = [f"{digest}  {name.split('/')[-1]}\n" for name, digest in self.sums.items()]
        (self.raw / "SHA256SUMS").write_text("".join(lines))

    def _make(self, size: int) -> None:
        """Weights in shards. Like bf16, they deflate by about a quarter."""
        (self.raw / "config.json").write_text("{}")
        table = bytes(60 + (i % 6) for i in range(256))
        for shard in range(SHARDS):
            with (self.raw / f"model-{shard}.safetensors").open("wb") as file:
                for _ in range(size // SHARDS // MIB):
                    block = bytearray(os.urandom(MIB))
                    block[1::2] = block[1::2].translate(table)
                    file.write(block)

    def archive(self, kind: str) -> Path:
        """Makes an archive, in place of the one before."""
        for other in self.root.glob("model.*"):
            other.unlink()
        path = self.root / f"model.{kind}"
        files = [each for each in sorted(self.raw.iterdir()) if each.name != "SHA256SUMS"]
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
                for each in files:
                    packed.write(each, f"model/{each.name}")
        else:
            with tarfile.open(path.with_suffix("") if kind == "tar.gz" else path, "w") as archive:
                for each in files:
                    archive.add(each, f"model/{each.name}")
            if kind == "tar.gz":
                subprocess.run(["gzip", "-1", path.with_suffix("")], check=True)
        self._note(path)
        return path

    def _note(self, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.sums[f"/{path.relative_to(self.root)}"] = digest

    def evict(self) -> None:
        """Lets the page cache forget the files, so that they are read from the disk."""
        for path in self.root.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Server:
    """nginx with ranges, a folder index that rclone reads, and checksums as Artifactory has them,
    on one port with TLS and on one without."""

    def __init__(self, nginx: str, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "cert.pem"
        words = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=127.0.0.1 -addext"
        name = "subjectAltName=IP:127.0.0.1"
        files = ["-keyout", str(folder / "key.pem"), "-out", str(self.certificate)]
        subprocess.run([*words.split(), name, *files], check=True, capture_output=True)
        self._ports = {"http": free_port(), "https": free_port()}
        self._config = folder / "nginx.conf"
        self._write_config()
        command = [nginx, "-p", str(folder), "-e", str(folder / "error.log")]
        self._process = subprocess.Popen([*command, "-c", str(self._config)])
        while not self._answers():
            if self._process.poll() is not None:
                raise SystemExit((folder / "error.log").read_text())
            time.sleep(0.05)

    def url(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self._ports[scheme]}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def restart(self, nginx: str) -> Server:
        """A new one, which knows the archives that were made since."""
        self.stop()
        return Server(nginx, self._source, self._folder)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._ports["http"])) == 0

    def _write_config(self) -> None:
        sums = "".join(f'"{name}" {digest};\n' for name, digest in self._source.sums.items())
        temporary = "".join(
            f"{name}_temp_path {self._folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Workers enough, chosen by connection: else one core encrypts for all connections of a
        # client, and it is nginx that is measured.
        user = "user root;" if os.getuid() == 0 else ""
        self._config.write_text(f"""daemon off; worker_processes 8; {user}
pid {self._folder}/pid;
events {{}}
http {{
map $uri $sha256 {{
{sums}}}
{temporary}access_log off; sendfile on; default_type application/octet-stream;
server {{
listen 127.0.0.1:{self._ports["http"]} reuseport;
listen 127.0.0.1:{self._ports["https"]} ssl reuseport;
ssl_certificate {self.certificate}; ssl_certificate_key {self._folder}/key.pem;
root {self._source.root}; autoindex on; add_header X-Checksum-Sha256 $sha256;
}}
}}
""")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
