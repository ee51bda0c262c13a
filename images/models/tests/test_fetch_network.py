"""Credentials, redirects, proxies, certificates and address families."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from models_fixtures import Pod, in_namespace, make_model, make_tar, read_tree, wait_until
from repository_server import Fault, Reply, RepositoryServer, Request

MODEL = make_model()
ARCHIVE = ("artifactory", "--path", "repo/tiny.tar")


@pytest.fixture(autouse=True)
def stored(server: RepositoryServer) -> None:
    server.files["/repo/tiny.tar"] = make_tar(MODEL)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("env", "header"),
    [
        (
            {"ARTIFACTORY_USERNAME": "reader", "ARTIFACTORY_PASSWORD": "p:ss wörd"},
            basic("reader", "p:ss wörd"),
        ),
        ({"ARTIFACTORY_PASSWORD": "a-token"}, "Bearer a-token"),
        ({"ARTIFACTORY_USERNAME": "", "ARTIFACTORY_PASSWORD": "a-token"}, "Bearer a-token"),
    ],
)
def test_credentials_are_sent(
    pod: Pod, server: RepositoryServer, env: dict[str, str], header: str
) -> None:
    server.authorization = header
    pod.env |= env
    code, log = pod.fetch(*ARCHIVE)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def test_password_is_only_in_the_environment_of_the_process_that_uses_it(
    pod: Pod, server: RepositoryServer
) -> None:
    password = secrets.token_urlsafe(18)
    server.authorization = basic("reader", password)
    server.faults["/repo/tiny.tar"] = [Fault("silent", 0.5)]
    pod.tuning["low_speed_seconds"] = 30
    pod.env |= {"ARTIFACTORY_USERNAME": "reader", "ARTIFACTORY_PASSWORD": password}
    process = pod.start(*ARCHIVE)
    wait_until(lambda: any(pod.volume.rglob("*.safetensors")), "the first of the weights")
    listed = {name for name in os.listdir("/proc") if name.isdigit()}
    places = {
        **{f"command line of {name}": read(f"/proc/{name}/cmdline") for name in listed},
        **{
            f"environment of {name}": read(f"/proc/{name}/environ")
            for name in listed - {str(process.pid)}
        },
        **{str(path): path.read_bytes() for path in pod.volume.rglob("*") if path.is_file()},
    }
    assert f"command line of {process.pid}" in places
    server.release()
    places["log"] = process.communicate(timeout=30)[0].encode()
    assert process.returncode == 0, places["log"]
    for path in pod.volume.rglob("*"):
        if path.is_file():
            places[f"{path}, complete"] = path.read_bytes()
    hidden = [password.encode(), server.authorization.removeprefix("Basic ").encode()]
    assert [name for name, text in places.items() if any(each in text for each in hidden)] == []


def read(path: str) -> bytes:
    """What a process tells of itself; nothing where it has ended or belongs to somebody else."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def test_anonymous_sends_none(pod: Pod, server: RepositoryServer) -> None:
    assert pod.fetch(*ARCHIVE)[0] == 0
    assert all("authorization" not in each.headers for each in server.requests)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ARTIFACTORY_URL": ""}, "ARTIFACTORY_URL is not set"),
        ({"ARTIFACTORY_URL": "https://u:pw@host/x"}, "ARTIFACTORY_URL holds credentials"),
        ({"ARTIFACTORY_URL": "ftp://host"}, "is not an http or https address"),
        ({"ARTIFACTORY_USERNAME": "u"}, "without ARTIFACTORY_PASSWORD"),
        ({"LLMOPS_FETCH_TUNING": '{"conections": 1}'}, "LLMOPS_FETCH_TUNING"),
    ],
)
def test_wrong_settings_are_given_up(pod: Pod, env: dict[str, str], words: str) -> None:
    pod.env |= env
    code, log = pod.fetch(*ARCHIVE)
    assert code == 78
    assert words in log
    assert "pw" not in log


def test_wrong_use_ends_with_2(pod: Pod) -> None:
    assert pod.fetch("artifactory")[0] == 2
    assert pod.fetch("ftp", "--path", "x")[0] == 2


def test_redirect_to_another_host_takes_no_credentials_along(
    pod: Pod, server: RepositoryServer
) -> None:
    with RepositoryServer() as other:
        other.files["/signed"] = server.files.pop("/repo/tiny.tar")
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.redirects["/repo/tiny.tar"] = f"{elsewhere}/signed?X-Signature=hidden"
        pod.env |= {"ARTIFACTORY_USERNAME": "reader", "ARTIFACTORY_PASSWORD": "pass"}
        code, log = pod.fetch(*ARCHIVE)
        assert code == 0, log
        assert read_tree(pod.folder) == MODEL
        assert len(other.asked("GET")) > 1
        assert all("authorization" not in each.headers for each in other.requests)
        assert all("authorization" in each.headers for each in server.requests)
        assert "hidden" not in log


@pytest.fixture
def proxy() -> Iterator[RepositoryServer]:
    """Answers for a host that only it knows, with what the server behind it has."""
    with RepositoryServer() as running:
        yield running


def behind(server: RepositoryServer) -> list[Request]:
    """Lets a server answer requests that name another host, as a proxy gets them."""
    seen: list[Request] = []

    def answer(request: Request) -> Reply | None:
        seen.append(request)
        return None

    server.routes.append(answer)
    return seen


def test_proxy_variables_are_followed(
    pod: Pod, server: RepositoryServer, proxy: RepositoryServer
) -> None:
    proxy.files = server.files
    seen = behind(proxy)
    pod.env |= {"ARTIFACTORY_URL": "http://models.invalid", "HTTP_PROXY": proxy.url}
    code, log = pod.fetch(*ARCHIVE)
    assert code == 0, log
    assert {each.headers["host"] for each in seen} == {"models.invalid"}
    assert not server.requests


def test_no_proxy_goes_straight(
    pod: Pod, server: RepositoryServer, proxy: RepositoryServer
) -> None:
    pod.env |= {"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"}
    code, log = pod.fetch(*ARCHIVE)
    assert code == 0, log
    assert not proxy.requests


def test_ipv6_only_name(pod: Pod, server: RepositoryServer, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 six.invalid\n")
    with RepositoryServer(host="::1") as six:
        six.files = server.files
        pod.env["ARTIFACTORY_URL"] = f"http://six.invalid:{six.port}"
        own_hosts = in_namespace(f"mount --bind {hosts} /etc/hosts")
        code, log = pod.fetch(*ARCHIVE, before=own_hosts)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return file


def test_https_with_a_ca_of_its_own(pod: Pod, server: RepositoryServer, certificate: Path) -> None:
    with RepositoryServer(certificate=certificate) as secure:
        secure.files = server.files
        pod.env["ARTIFACTORY_URL"] = secure.url
        code, log = pod.fetch(*ARCHIVE)
        assert code == 78
        assert "certificate is not trusted: give its CA (SSL_CERT_FILE)" in log
        pod.env["SSL_CERT_FILE"] = str(certificate)
        code, log = pod.fetch(*ARCHIVE)
        assert code == 0, log
    assert read_tree(pod.folder) == MODEL
