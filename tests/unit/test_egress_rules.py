from __future__ import annotations

import ipaddress

import pytest

from infra.egress_rules import AllowedHosts, EgressForbiddenError, allowed_host, destination_of

BOTH = ("https", "http")


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://cdn.example.org", "cdn.example.org", 443, "/", "cdn.example.org"),
        ("https://cdn.example.org:443/a", "cdn.example.org", 443, "/a", "cdn.example.org"),
        ("HTTPS://CDN.Example.org:8443/A%20b?x=1&y=%2F", "cdn.example.org", 8443, "/A%20b?x=1&y=%2F", None),
        ("http://cdn_1.example.org?x", "cdn_1.example.org", 80, "/?x", "cdn_1.example.org"),
        ("http://127.0.0.1:9000/a", "127.0.0.1", 9000, "/a", "127.0.0.1:9000"),
        ("http://[2001:DB8:0::1]:80/", "2001:db8::1", 80, "/", "[2001:db8::1]"),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int, target: str, authority: str | None) -> None:
    to = destination_of(url, BOTH)
    assert (to.host, to.port, to.target) == (host, port, target)
    assert to.authority == (authority or f"{host}:{port}")


@pytest.mark.parametrize(
    "entry",
    [
        "", "*", "*.example.org", "https://example.org", "example.org/path", "example.org:", "example.org:0",
        "example.org:65536", "user@example.org", "example.org.", ".example.org", "a b", "2130706433", "0x7f.1",
        "0177.0.0.1", "127.1", "exämple.org", "[127.0.0.1]:80", "::1]:80", "-a.example", "a" * 64,
    ],
)  # fmt: skip
def test_what_is_no_host_is_no_entry_of_the_list(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        allowed_host(entry)


@pytest.mark.parametrize("entry", ["EXAMPLE.org", "example.org:443", "::1", "[::1]", "[0:0::1]:8080", "10.0.0.7:80"])
def test_a_host_with_or_without_its_port_is_an_entry(entry: str) -> None:
    assert allowed_host(entry) == entry
    assert AllowedHosts([entry])


def test_a_host_is_listed_with_every_port_or_with_its_own() -> None:
    hosts = AllowedHosts(["Any.example", "one.example:8443", "::1"])
    for url, listed in [
        ("https://any.example", True),
        ("https://any.example:9", True),
        ("https://one.example:8443", True),
        ("https://one.example", False),
        ("https://sub.any.example", False),
        ("https://any.example.evil", False),
        ("https://[0:0:0:0:0:0:0:1]:7", True),
    ]:
        assert hosts.lists(destination_of(url, BOTH)) is listed, url


PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"]
SITE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
]
NEVER = [
    "0.0.0.1", "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "fd00:ec2::254",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::1", "2001:0:7f00:1::1", "2001:db8::1", "100::1", "3fff::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_listed_name_may_lead_to_a_public_address(address: str) -> None:
    to = destination_of("https://cdn.example", BOTH)
    assert AllowedHosts(["cdn.example"]).refusal_of(to, ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", SITE)
def test_only_a_name_listed_with_its_port_may_lead_inside(address: str) -> None:
    to = destination_of("https://models.example:8443", BOTH)
    inside = ipaddress.ip_address(address)
    refusal = AllowedHosts(["models.example", "models.example:443"]).refusal_of(to, inside)
    assert refusal is not None
    assert "list it as models.example:8443" in refusal
    assert AllowedHosts(["models.example:8443"]).refusal_of(to, inside) is None


@pytest.mark.parametrize("address", NEVER)
def test_no_name_leads_to_an_address_that_is_neither_public_nor_a_sites_own(address: str) -> None:
    to = destination_of("https://models.example:8443", BOTH)
    assert AllowedHosts(["models.example:8443"]).refusal_of(to, ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "javascript", "data", "http+unix", "ws"])
def test_other_schemes_are_refused(scheme: str) -> None:
    with pytest.raises(EgressForbiddenError, match="begin with https:// or http://"):
        destination_of(f"{scheme}://cdn.example/a", BOTH)
