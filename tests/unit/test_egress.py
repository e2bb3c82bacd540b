from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from infra.egress import (
    EgressClient,
    EgressEncodingError,
    EgressFailedError,
    EgressTimeoutError,
    EgressTooLargeError,
)
from infra.egress_rules import EgressError, EgressForbiddenError
from tests.http_server import Served, answering, http, serving


class Names:
    """A name service that gives one answer after another, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


HERE = Names(["127.0.0.1"])


def client(
    *hosts: str,
    max_bytes: int = 1_000,
    timeout_s: float = 20,
    unpack: bool = False,
    names: Names = HERE,
    tls: ssl.SSLContext | None = None,
) -> EgressClient:
    return EgressClient(
        hosts,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        schemes=("http", "https"),
        unpack=unpack,
        resolve=names,
        ssl_context=tls,
    )


# {port} is the port of a server on this machine, which must not be asked; "cdn.example" is listed, and the name
# service says 127.0.0.1 to everything.
TRICKS = [
    # this machine, in every spelling
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.000.000.001:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[fe80::1%eth0]:{port}/",
    "http://[127.0.0.1]:{port}/",
    "http://①②⑦.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127%2E0%2E0%2E1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127.0.0.1.nip.io:{port}/",
    # inside
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://2852039166/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://224.0.0.1/",
    # the listed name, worn as a mask
    "http://cdn.example:{port}@127.0.0.1:{port}/",
    "http://cdn.example@127.0.0.1:{port}/",
    "http://user:password@cdn.example:{port}/",
    "http://@cdn.example:{port}/",
    "http://127.0.0.1:{port}#@cdn.example/",
    "http://127.0.0.1:{port}?@cdn.example/",
    "http://127.0.0.1:{port}\\@cdn.example/",
    "http://cdn.example\\@127.0.0.1:{port}/",
    "http://cdn.example.127.0.0.1:{port}/",
    "http://cdn.example.evil.example:{port}/",
    "http://evil-cdn.example:{port}/",
    "http://cdn.example.:{port}/",
    "http://cdn.example%00.evil.example:{port}/",
    "http://cdn.example%2f@127.0.0.1:{port}/",
    "http://cdn.example;127.0.0.1:{port}/",
    "http://cdn.example,127.0.0.1:{port}/",
    "http://cdn.example:{port}/",  # listed, but it leads inside
    "http://cdn.example:{port}:80/",
    "http://cdn.example:/",
    "http://cdn.example:0/",
    "http://cdn.example:99999/",
    "http://cdn.example:-1/",
    "http://cdn.example:{port}/a b",
    "http://cdn.example:{port}/\r\nhost: evil.example",
    "http://cdn.example:{port}/\x00",
    "http://cdn.example:{port}/#x",
    "http://ⓒⓓⓝ.example:{port}/",
    " http://127.0.0.1:{port}/",
    "\thttp://127.0.0.1:{port}/",
    # no address at all, or another protocol
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:////127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http://",
    "http://:{port}/",
    "http://[]:{port}/",
    "http://[::1:{port}/",
    "",
    "url:http://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "dict://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}!/",
    "ws://127.0.0.1:{port}/",
    "http+unix://%2Ftmp%2Fsocket/",
    "http://cdn.example:{port}/" + "a" * 5_000,
]


async def test_no_trick_reaches_anything() -> None:
    assert len(TRICKS) >= 60
    missed: list[str] = []
    async with serving(answering(http(b"secret"))) as server:
        guarded = client("cdn.example")
        for trick in TRICKS:
            try:
                await guarded.send("GET", trick.replace("{port}", str(server.port)))
            except EgressForbiddenError:
                continue
            missed.append(trick)
    assert not missed
    assert not server.heads


async def test_the_server_of_the_tricks_would_have_answered() -> None:
    got = bytearray()
    async with serving(answering(http(b"secret"))) as server:
        await client(f"127.0.0.1:{server.port}").send("GET", f"http://127.0.0.1:{server.port}/x?y", take=got.extend)
    assert bytes(got) == b"secret"
    assert server.heads[0].startswith("GET /x?y HTTP/1.1\r\n")


async def test_an_address_without_port_is_listed_with_every_port() -> None:
    async with serving(answering(http(b""))) as server:
        answer = await client("127.0.0.1").send("GET", f"http://127.0.0.1:{server.port}/")
    assert answer.status == 200


async def test_a_name_is_resolved_once_and_asked_under_its_name() -> None:
    async with serving(answering(http(b"here"))) as server:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        answer = await client(f"cdn.example:{server.port}", names=names).send(
            "GET", f"http://CDN.example:{server.port}/"
        )
    assert answer.status == 200
    assert names.asked == [("cdn.example", server.port)]
    assert f"\r\nhost: cdn.example:{server.port}\r\n" in server.heads[0].lower()


async def test_a_name_that_is_bound_to_an_inner_address_afterwards_is_not_followed() -> None:
    async with serving(answering(http(b"secret"))) as server:
        url = f"http://cdn.example:{server.port}/"
        names = Names(["93.184.216.34", "192.0.2.1"], ["93.184.216.34", "127.0.0.1"], ["127.0.0.1"])
        guarded = client("cdn.example", names=names)
        for _ in range(3):
            with pytest.raises(EgressForbiddenError, match="leads to"):
                await guarded.send("GET", url)
        assert len(names.asked) == 3
    assert not server.heads


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    connected: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        connected.append((request.url.host, request.headers["host"]))
        return httpx.Response(200)

    names = Names(["93.184.216.34"], ["127.0.0.1"])
    guarded = EgressClient(
        ["cdn.example"], max_bytes=1, timeout_s=20, resolve=names, transport=httpx.MockTransport(answer)
    )
    await guarded.send("GET", "https://cdn.example/")
    assert connected == [("93.184.216.34", "cdn.example")]
    with pytest.raises(EgressForbiddenError, match=r"leads to 127\.0\.0\.1"):
        await guarded.send("GET", "https://cdn.example/")
    assert len(connected) == 1


async def test_the_next_address_is_asked_where_nobody_listens_at_the_first() -> None:
    async with serving(answering(http(b""))) as server:
        names = Names(["127.0.0.9", "127.0.0.1"])
        answer = await client(f"cdn.example:{server.port}", names=names).send(
            "GET", f"http://cdn.example:{server.port}/"
        )
    assert answer.status == 200


@pytest.mark.parametrize("found", [[], ["no address"]])
async def test_a_name_without_an_address_is_an_error(found: list[str]) -> None:
    with pytest.raises(EgressError, match=r"cdn\.example"):
        await client("cdn.example", names=Names(found)).send("GET", "https://cdn.example/")


async def test_a_name_that_can_not_be_found_is_an_error() -> None:
    async def nobody(_host: str, _port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    guarded = EgressClient(["cdn.example"], max_bytes=1, timeout_s=20, resolve=nobody)
    with pytest.raises(EgressFailedError, match="can not be found"):
        await guarded.send("GET", "https://cdn.example/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(status: int) -> None:
    async with serving(answering(http(b"secret"))) as inside:
        location = f"location: http://127.0.0.1:{inside.port}/"
        async with serving(answering(http(b"x", f"{status} Over there", location))) as server:
            got = bytearray()
            answer = await client("127.0.0.1").send("GET", f"http://127.0.0.1:{server.port}/", take=got.extend)
    assert answer.status == status
    assert not got
    assert not inside.heads


async def test_proxies_and_passwords_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with serving(answering(http(b"proxy"))) as proxy, serving(answering(http(b"here"))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await client("127.0.0.1").send("GET", f"http://127.0.0.1:{server.port}/")
    assert not proxy.heads
    assert "authorization" not in server.heads[0].lower()


def url_of(server: Served) -> str:
    return f"http://127.0.0.1:{server.port}/"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_not_taken(announced: bool) -> None:
    sent = 0

    async def endless(_head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"content-length: 100000000\r\n\r\n" if announced else b"\r\n"))
        while sent < 100_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    got = bytearray()
    async with serving(endless) as server:
        with pytest.raises(EgressTooLargeError, match="larger than 1000 bytes"):
            await client("127.0.0.1").send("GET", url_of(server), take=got.extend)
    assert len(got) <= 1_000
    assert sent < 100_000_000


async def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    largest = taken = 0

    def take(piece: bytes) -> None:
        nonlocal largest, taken
        largest, taken = max(largest, len(piece)), taken + len(piece)

    async with serving(answering(http(bomb, "200 OK", "content-encoding: gzip"))) as server:
        with pytest.raises(EgressTooLargeError):
            await client("127.0.0.1", max_bytes=1_000_000, unpack=True).send("GET", url_of(server), take=take)
    assert taken <= 1_000_000
    assert largest <= 65_536


async def test_what_is_packed_is_unpacked_where_that_is_wanted() -> None:
    packed = gzip.compress(b"good ") + gzip.compress(b"morning")
    got = bytearray()
    async with serving(answering(http(packed, "200 OK", "content-encoding: gzip"))) as server:
        await client("127.0.0.1", unpack=True).send("GET", url_of(server), take=got.extend)
        assert bytes(got) == b"good morning"
        with pytest.raises(EgressEncodingError, match="gzip"):
            await client("127.0.0.1").send("GET", url_of(server), take=got.extend)


@pytest.mark.parametrize("packed_as", ["deflate", "br", "zstd", "gzip, gzip", "x-unknown"])
async def test_other_packings_are_refused(packed_as: str) -> None:
    answer = http(zlib.compress(b"x"), "200 OK", f"content-encoding: {packed_as}")
    async with serving(answering(answer)) as server:
        with pytest.raises(EgressEncodingError):
            await client("127.0.0.1", unpack=True).send("GET", url_of(server), take=bytearray().extend)


@pytest.mark.parametrize("content", [gzip.compress(b"good morning")[:-9], b"no gzip"], ids=["cut off", "no gzip"])
async def test_what_can_not_be_unpacked_is_an_error(content: bytes) -> None:
    async with serving(answering(http(content, "200 OK", "content-encoding: gzip"))) as server:
        with pytest.raises(EgressFailedError, match="packed"):
            await client("127.0.0.1", unpack=True).send("GET", url_of(server), take=bytearray().extend)


async def test_a_body_that_ends_too_early_is_an_error() -> None:
    async with serving(answering(http(b"half", length=8))) as server:
        with pytest.raises(EgressFailedError):
            await client("127.0.0.1").send("GET", url_of(server), take=bytearray().extend)


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_server_that_drips_is_given_up_after_the_whole_time(where: str) -> None:
    async def drip(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"x: " if where == "head" else b"\r\n"))
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as server, asyncio.timeout(20):
        with pytest.raises(EgressTimeoutError, match=r"within 0\.3 s"):
            await client("127.0.0.1", timeout_s=0.3, max_bytes=10_000_000).send(
                "GET", url_of(server), take=bytearray().extend
            )


async def test_a_name_service_that_hangs_is_given_up() -> None:
    async def hangs(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    guarded = EgressClient(["cdn.example"], max_bytes=1, timeout_s=0.1, resolve=hangs)
    with pytest.raises(EgressTimeoutError):
        await guarded.send("GET", "https://cdn.example/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of cdn.example with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=cdn.example "
        f"-addext subjectAltName=DNS:cdn.example -keyout {folder}/key.pem -out {folder}/cert.pem"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl is not installed, which makes the certificate of this test")
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return folder / "both.pem"


async def test_tls_proves_the_name_and_not_the_address(certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate.with_name("cert.pem")))
    asked_for: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with serving(answering(http(b"here")), server_side) as server:
        hosts = (f"cdn.example:{server.port}", f"other.example:{server.port}")
        answer = await client(*hosts, tls=trusting).send("GET", f"https://cdn.example:{server.port}/")
        assert answer.status == 200
        with pytest.raises(EgressFailedError, match=r"other\.example"):
            await client(*hosts, tls=trusting).send("GET", f"https://other.example:{server.port}/")
        with pytest.raises(EgressFailedError, match="CERTIFICATE_VERIFY_FAILED"):
            await client(*hosts).send("GET", f"https://cdn.example:{server.port}/")
    assert asked_for == ["cdn.example", "other.example", "cdn.example"]
