"""netns_connect.py PROBE - in a network namespace of its own: networks that have IPv6 only, IPv4
only or both, and hosts of which some addresses are dead (packets vanish), closed (reset),
unreachable (ICMP, or no route). Which address does connect_probe get to, and when? Exit code 77
when such a network cannot be made here. The namespace takes its links along when it ends."""
import os
import socket
import subprocess
import sys

LIVE4, CLOSED4, LIVE6, CLOSED6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
DEAD4 = ["192.0.2.%d" % n for n in (77, 78, 79)]
DEAD6 = ["2001:db8::%d" % n for n in (77, 78, 79)]
REJECTED4, REJECTED6 = "198.51.100.1", "2001:db8:1::1"  # a route that says unreachable
AWAY4, AWAY6 = "203.0.113.1", "2001:db8:2::1"  # no route at all
DELAY_MS = 250  # RFC 8305 section 5: connection attempt delay
SLACK_MS = 200 * (4 if os.environ.get("DEJUNK_SAN") else 1)
TRIES = 3  # others use this machine, too

# network, the host's addresses, who answers (or the kind of failure), after so many delays
CASES = [
    ("6", [LIVE6], LIVE6, 0),
    ("6", [LIVE6, LIVE4], LIVE6, 0),
    ("6", [LIVE4], "address", 0),
    ("6", [AWAY6, LIVE6], LIVE6, 0),
    ("6", [DEAD6[0], LIVE4, LIVE6], LIVE6, 1),
    ("4", [LIVE4], LIVE4, 0),
    ("4", [LIVE6, LIVE4], LIVE4, 0),
    ("4", [LIVE6], "address", 0),
    ("4", [DEAD4[0], LIVE6, LIVE4], LIVE4, 1),
    ("46", [LIVE6, LIVE4], LIVE6, 0),
    ("46", [DEAD6[0], LIVE4], LIVE4, 1),
    ("46", [LIVE6, DEAD4[0]], LIVE6, 0),
    ("46", [CLOSED6, LIVE4], LIVE4, 0),
    ("46", [REJECTED6, LIVE4], LIVE4, 0),
    ("46", [AWAY6, LIVE4], LIVE4, 0),
    ("46", [REJECTED6, AWAY6, CLOSED6, REJECTED4, AWAY4, CLOSED4, LIVE4], LIVE4, 0),
    ("46", DEAD6 + [LIVE4], LIVE4, 1),
    ("46", DEAD6[:2] + DEAD4[:2] + [LIVE6], LIVE6, 4),
    ("46", DEAD4 + [LIVE4], LIVE4, 3),
    ("46", [DEAD6[0], CLOSED4, CLOSED6, LIVE4], LIVE4, 1),
    ("46", DEAD6 + DEAD4, "timeout", 8),
    ("46", [CLOSED6, CLOSED4], "refused", 0),
    ("46", [CLOSED6, REJECTED4], "refused", 0),
    ("46", [REJECTED6, AWAY4], "address", 0),
    ("46", [DEAD6[0], CLOSED4], "refused", 8),  # the time is up, but this much is known
]


def run(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def make_network(families):
    try:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        run("ip", "link", "set", "v0", "up")
        run("ip", "link", "set", "v1", "up")
        gone = []
        if "4" in families:
            for address in (LIVE4, CLOSED4):
                run("ip", "addr", "add", address + "/24", "dev", "v0")
            run("ip", "route", "add", "unreachable", REJECTED4)
            gone += DEAD4
        if "6" in families:
            for address in (LIVE6, CLOSED6):
                run("ip", "-6", "addr", "add", address + "/64", "dev", "v0", "nodad")
            run("ip", "-6", "route", "add", "unreachable", REJECTED6)
            gone += DEAD6
        for address in gone:  # a neighbour that is not at home
            run("ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:77", "dev", "v0")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        print(error)
        sys.exit(77)


def listen(address, port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family)
    sock.bind((address, port))
    sock.listen(100)
    return sock


def try_case(probe, port, addresses, want, delays):
    hosts = "".join("%s host\n" % address for address in addresses)
    least = delays * DELAY_MS
    for _ in range(TRIES):
        told = subprocess.run([probe, hosts, "host", str(port), str(8 * DELAY_MS)], check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
        got, took_ms = told.stdout.split()[:2]
        if got != want or int(took_ms) <= least + SLACK_MS:
            break
    good = got == want and least <= int(took_ms) <= least + SLACK_MS
    print("%s %s: %s; wanted %s after %d to %d ms" % (
        "ok    " if good else "failed", " ".join(addresses), told.stdout.strip(), want, least,
        least + SLACK_MS))
    return good


def main():
    probe, families = sys.argv[1:]
    make_network(families)
    first = listen(LIVE4 if "4" in families else LIVE6)
    port = first.getsockname()[1]
    others = [listen(LIVE6, port)] if families == "46" else []
    good = [try_case(probe, port, *case[1:]) for case in CASES if case[0] == families]
    for sock in [first] + others:
        sock.close()
    sys.exit(0 if good and all(good) else 1)


if __name__ == "__main__":
    main()
