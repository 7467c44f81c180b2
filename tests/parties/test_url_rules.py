"""Callbacks may use public addresses, and private ones only if the operator allows them."""

from datetime import date, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.callbacks.policy import FIRST_WAIT, LONGEST_WAIT, oldest_day_tried, wait_after
from app.callbacks.url_rules import MAX_LENGTH, CallbackError, may_be_called, parse_callback

OUT_THERE = ["1.1.1.1", "93.184.216.34", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]
INSIDE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254", "100.64.0.1"]
INSIDE_V6 = ["::1", "fc00::1", "fdff::1"]
NOWHERE = {
    "unspecified": "0.0.0.0",  # noqa: S104 - nobody is listening
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
    "a cloud's keys, as if out in the world": "168.63.129.16",
}


@pytest.mark.parametrize("address", OUT_THERE)
def test_address_out_in_the_world_may_be_called(address: str) -> None:
    assert may_be_called(ip_address(address), private=False)
    assert may_be_called(ip_address(address), private=True)


@pytest.mark.parametrize("address", INSIDE + INSIDE_V6)
def test_address_inside_may_be_called_where_the_operator_says_so(address: str) -> None:
    assert not may_be_called(ip_address(address), private=False)
    assert may_be_called(ip_address(address), private=True)


@pytest.mark.parametrize("address", NOWHERE.values(), ids=NOWHERE)
def test_address_that_is_nobodys_may_never_be_called(address: str) -> None:
    assert not may_be_called(ip_address(address), private=False)
    assert not may_be_called(ip_address(address), private=True)


@given(st.ip_addresses(v=4))
def test_no_address_that_python_knows_to_be_special_may_be_called(address: IPv4Address) -> None:
    """The standard library has a list of its own; what it holds back, ours does too."""
    special = not address.is_global or address.is_multicast or address.is_reserved

    assert not (special and may_be_called(address, private=False))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_python_knows_to_be_special_may_be_called(address: IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved or address.ipv4_mapped

    assert not (special and may_be_called(address, private=False))


@pytest.mark.parametrize(
    ("written", "netloc", "target"),
    [
        ("https://door.example.org/told", "door.example.org", "/told"),
        ("https://door.example.org", "door.example.org", "/"),
        ("https://door.example.org:443/a/b?c=d%20e&f", "door.example.org", "/a/b?c=d%20e&f"),
        ("https://door.example.org:8443?x=1", "door.example.org:8443", "/?x=1"),
        ("https://1.1.1.1/", "1.1.1.1", "/"),
        ("https://[2606:4700::1111]:444/", "[2606:4700::1111]:444", "/"),
    ],
)
def test_callback_is_taken_apart_once(written: str, netloc: str, target: str) -> None:
    found = parse_callback(written, private=False)

    assert (found.netloc, found.target, found.origin) == (netloc, target, f"https://{netloc}")


@pytest.mark.parametrize(
    "written",
    [
        "",
        "door.example.org",
        "ftp://door.example.org/",
        "gopher://door.example.org/",
        "https:///told",
        "https://user@door.example.org/",
        "https://good.example.org@127.0.0.1/",
        "https://good.example.org#@127.0.0.1/",
        "https://good.example.org\\@127.0.0.1/",
        "https://door.example.org/\r\nHost: other",
        "https://door.example.org/ told",
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
def test_what_programs_could_read_differently_is_no_callback(written: str) -> None:
    for private in (False, True):
        with pytest.raises(CallbackError):
            parse_callback(written, private=private)


@pytest.mark.parametrize("written", ["http://door.example.org/", "https://127.0.0.1/", "https://[::1]/"])
def test_http_and_addresses_inside_are_for_where_the_operator_says_so(written: str) -> None:
    assert parse_callback(written, private=True)
    with pytest.raises(CallbackError):
        parse_callback(written, private=False)


@pytest.mark.parametrize("written", ["https://169.254.169.254/latest/", "https://[::ffff:127.0.0.1]/"])
def test_some_are_for_nowhere(written: str) -> None:
    with pytest.raises(CallbackError):
        parse_callback(written, private=True)


@given(tries=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_the_next_try_comes_later_each_time_and_within_hours(tries: int, chance: float) -> None:
    wait = wait_after(tries, chance=chance)

    assert FIRST_WAIT <= wait <= LONGEST_WAIT * 1.5
    assert wait_after(tries + 1, chance=0) >= wait_after(tries, chance=0)
    assert wait_after(1, chance=0) == timedelta(seconds=30)
    assert wait_after(3, chance=1) == timedelta(seconds=180)


def test_a_message_has_its_days_and_the_rest_of_its_own() -> None:
    today = date(2026, 11, 26)

    assert oldest_day_tried(today, days=7) == date(2026, 11, 19)
