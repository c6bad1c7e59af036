"""race.py DIRECTORY - in a network namespace of its own: hosts with addresses that are alive, dead
(packets vanish) or closed, of one family or both. Which one answers, and after how long? Exit code
77 when such a network cannot be made here."""
import pathlib
import subprocess
import sys

from house import NameServer, Origin, Proxy, SANITIZED, answering, ask, reply

LIVE4, LIVE6, DEAD4, DEAD6, OTHER_DEAD6 = (
    "192.0.2.1", "2001:db8::1", "192.0.2.77", "2001:db8::77", "2001:db8::78")
CLOSED6 = "2001:db8::2"
DELAY_S = 0.25  # RFC 8305 section 5: connection attempt delay
TRIES = 3  # each with a name of its own; others use this machine, too

# name, its addresses, who answers (or the status), at least and at most so many seconds later
CASES = [
    ("v6-only", [LIVE6], b"v6", 0, DELAY_S),
    ("v4-only", [LIVE4], b"v4", 0, DELAY_S),
    ("both", [LIVE6, LIVE4], b"v6", 0, DELAY_S),
    ("v6-dead", [DEAD6, LIVE4], b"v4", DELAY_S * 0.9, DELAY_S * 3),
    ("v4-dead", [LIVE6, DEAD4], b"v6", 0, DELAY_S),
    ("v6-closed", [CLOSED6, LIVE4], b"v4", 0, DELAY_S),
    ("two-v6-dead", [DEAD6, OTHER_DEAD6, LIVE4], b"v4", DELAY_S * 0.9, DELAY_S * 4),
    ("all-dead", [DEAD6, DEAD4], 504, 1.9, 4),
    ("dead-and-closed", [DEAD6, CLOSED6], 502, 1.9, 4),
]


def make_network():
    def run(*words):
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    try:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        run("ip", "link", "set", "v0", "up")
        run("ip", "link", "set", "v1", "up")
        run("ip", "addr", "add", LIVE4 + "/24", "dev", "v0")
        for address in (LIVE6, CLOSED6):
            run("ip", "-6", "addr", "add", address + "/64", "dev", "v0", "nodad")
        for address in (DEAD4, DEAD6, OTHER_DEAD6):  # a neighbour that is not at home
            run("ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:77", "dev", "v0")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        print(error)
        sys.exit(77)


def main():
    make_network()
    over4 = Origin(answering(lambda request: reply(b"v4")), address=LIVE4)
    over6 = Origin(answering(lambda request: reply(b"v6")), address=LIVE6, port=over4.port)
    names = NameServer({"%s-%d.test" % (name, number): addresses for name, addresses, *_ in CASES
                        for number in range(TRIES)})
    proxy = Proxy(pathlib.Path(sys.argv[1]) / "proxy", connect_timeout="2s",
                  allow_destinations=["192.0.2.0/24", "2001:db8::/32"])
    (proxy.directory / "resolv.conf").write_text("nameserver %s\n" % names.at)
    proxy.start()
    failed = 0
    for name, addresses, want, least_s, most_s in CASES:
        most_s *= 3 if SANITIZED else 1
        for number in range(TRIES):
            response = ask(proxy, "http://%s-%d.test:%d/" % (name, number, over4.port))
            got = response.body if response.status == 200 else response.status
            good = got == want and least_s <= response.seconds
            if not good or response.seconds <= most_s:
                break
        good = good and response.seconds <= most_s
        failed += not good
        print("%s %s %s: %s after %.3f s; wanted %s within %.3f to %.3f s" % (
            "ok    " if good else "failed", name, addresses, got, response.seconds, want, least_s,
            most_s))
    code = proxy.stop()
    if failed or code:
        print("exit code %s\n%s" % (code, proxy.log()))
    over4.stop()
    over6.stop()
    names.stop()
    sys.exit(1 if failed or code else 0)


if __name__ == "__main__":
    main()
