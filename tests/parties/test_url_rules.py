"""Callbacks may use public addresses, and private ones only if the operator allows them."""

from datetime import date, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.callbacks.policy import FIRST_WAIT, LONGEST_WAIT, oldest_day_tried, wait_after
from app.callbacks.url_rules import MAX_LENGTH, CallbackError, may_be_called, parse_callback

PUBLIC = ["1.1.1.1", "93.184.216.34", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254", "100.64.0.1"]
PRIVATE_V6 = ["::1", "fc00::1", "fdff::1"]
NEVER_ALLOWED = {
    "unspecified": "0.0.0.0",  # noqa: S104 - no program listens
    "this network": "0.1.2.3",
    "link-local, a cloud's keys": "169.254.169.254",
    "IETF protocols": "192.0.0.8",
    "documentation": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "multicast": "224.0.0.1",
    "multicast 2": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "unspecified v6": "::",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped private": "::ffff:10.0.0.1",
    "IPv4-mapped public": "::ffff:1.1.1.1",
    "IPv4-compatible": "::7f00:1",
    "IPv4-translated": "::ffff:0:7f00:1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64, local": "64:ff9b:1::7f00:1",
    "discard": "100::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "ORCHID": "2001:20::1",
    "documentation v6": "2001:db8::1",
    "documentation v6 2": "3fff::1",
    "6to4 of loopback": "2002:7f00:1::1",
    "link-local v6": "fe80::1",
    "link-local v6, with its zone": "fe80::1%1",
    "site-local": "fec0::1",
    "multicast v6": "ff02::1",
    "SRv6": "5f00::1",
    "a cloud's keys, v6": "fd00:ec2::254",
    "a cloud's keys behind a NAT": "100.100.100.200",
    "a cloud's keys at a public address": "168.63.129.16",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert may_be_called(ip_address(address), private=False)
    assert may_be_called(ip_address(address), private=True)


@pytest.mark.parametrize("address", PRIVATE + PRIVATE_V6)
def test_a_private_address_is_allowed_only_by_the_setting(address: str) -> None:
    assert not may_be_called(ip_address(address), private=False)
    assert may_be_called(ip_address(address), private=True)


@pytest.mark.parametrize("address", NEVER_ALLOWED.values(), ids=NEVER_ALLOWED)
def test_a_special_address_is_never_allowed(address: str) -> None:
    assert not may_be_called(ip_address(address), private=False)
    assert not may_be_called(ip_address(address), private=True)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_python_lists_as_special_is_allowed(address: IPv4Address) -> None:
    """Every address on the standard library's own list is refused here too."""
    special = not address.is_global or address.is_multicast or address.is_reserved

    assert not (special and may_be_called(address, private=False))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_python_lists_as_special_is_allowed(address: IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved or address.ipv4_mapped

    assert not (special and may_be_called(address, private=False))


@pytest.mark.parametrize(
    ("written", "netloc", "target"),
    [
        ("https://door.example.org/events", "door.example.org", "/events"),
        ("https://door.example.org", "door.example.org", "/"),
        ("https://door.example.org:443/a/b?c=d%20e&f", "door.example.org", "/a/b?c=d%20e&f"),
        ("https://door.example.org:8443?x=1", "door.example.org:8443", "/?x=1"),
        ("https://1.1.1.1/", "1.1.1.1", "/"),
        ("https://[2606:4700::1111]:444/", "[2606:4700::1111]:444", "/"),
    ],
)
def test_a_callback_is_parsed(written: str, netloc: str, target: str) -> None:
    found = parse_callback(written, private=False)

    assert (found.netloc, found.target, found.origin) == (netloc, target, f"https://{netloc}")


@pytest.mark.parametrize(
    "written",
    [
        "",
        "door.example.org",
        "ftp://door.example.org/",
        "gopher://door.example.org/",
        "https:///events",
        "https://user@door.example.org/",
        "https://good.example.org@127.0.0.1/",
        "https://good.example.org#@127.0.0.1/",
        "https://good.example.org\\@127.0.0.1/",
        "https://door.example.org/\r\nHost: other",
        "https://door.example.org/ events",
        "https://d\N{LATIN SMALL LETTER O WITH DIAERESIS}r.example.org/",
        "https://door.example.org:0/",
        "https://door.example.org:65536/",
        "https://door.example.org:99999999/",
        "https://[::1/",
        "https://[1::2::3]/",
        "https://door_example.org/",
        "https://door.example.org/" + "x" * MAX_LENGTH,
    ],
)
def test_a_url_that_programs_could_parse_differently_is_refused(written: str) -> None:
    for private in (False, True):
        with pytest.raises(CallbackError):
            parse_callback(written, private=private)


@pytest.mark.parametrize("written", ["http://door.example.org/", "https://127.0.0.1/", "https://[::1]/"])
def test_http_and_private_addresses_are_allowed_only_by_the_setting(written: str) -> None:
    assert parse_callback(written, private=True)
    with pytest.raises(CallbackError):
        parse_callback(written, private=False)


@pytest.mark.parametrize("written", ["https://169.254.169.254/latest/", "https://[::ffff:127.0.0.1]/"])
def test_some_addresses_are_never_allowed(written: str) -> None:
    with pytest.raises(CallbackError):
        parse_callback(written, private=True)


@given(tries=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_each_wait_is_longer_up_to_some_hours(tries: int, chance: float) -> None:
    wait = wait_after(tries, chance=chance)

    assert FIRST_WAIT <= wait <= LONGEST_WAIT * 1.5
    assert wait_after(tries + 1, chance=0) >= wait_after(tries, chance=0)
    assert wait_after(1, chance=0) == timedelta(seconds=30)
    assert wait_after(3, chance=1) == timedelta(seconds=180)


def test_the_day_of_a_message_does_not_count() -> None:
    today = date(2026, 11, 26)

    assert oldest_day_tried(today, days=7) == date(2026, 11, 19)
