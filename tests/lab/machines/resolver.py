"""Answers DNS over UDP: `python resolver.py ADDRESS NAME=ADDRESS…`; other names do not exist."""

from __future__ import annotations

import socket
import sys

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 60


def answer(wire: bytes, known: dict[str, str]) -> bytes:
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query, recursion_available=True)
    [question] = query.question
    address = known.get(question.name.to_text(omit_final_dot=True).lower())
    if address is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, TTL, "IN", "A", address))
    return response.to_wire()


def main(address: str, *pairs: str) -> None:
    known = dict(pair.split("=") for pair in pairs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            wire, client = server.recvfrom(4096)
            server.sendto(answer(wire, known), client)


main(*sys.argv[1:])
