"""netns_fetch.py DIRECTORY - in a network namespace of its own, where a public address is at this
machine: no redirect leads `dejunk fetch` from there to inside, whatever name it goes by. Exit code
77 when such a network cannot be made here."""
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fetch_house import Fetch  # noqa: E402
from house import NameServer, Origin, answering, reply, wait_for  # noqa: E402

PUBLIC, PRIVATE = "198.41.0.4", "10.9.9.1"

# Where it begins, where the redirects lead, and how it ends.
ROWS = [
    ("a name that means another address by now", "http://rebound.test", ["http://rebound.test"],
     "redirect not followed"),
    ("from a public name to a private one", "http://public.test", ["http://private.test"],
     "redirect not followed"),
    ("from a public name to a private address", "http://public.test", ["http://" + PRIVATE],
     "redirect not followed"),
    ("from a public address to a private one", "http://" + PUBLIC, ["http://" + PRIVATE],
     "redirect not followed"),
    ("from a public address to loopback", "http://" + PUBLIC, ["http://127.0.0.1"],
     "redirect not followed"),
    ("from public to public", "http://public.test", ["http://" + PUBLIC], "done"),
    ("out and back to what was named", "http://" + PRIVATE,
     ["http://public.test", "http://" + PRIVATE], "done"),
    ("out and on to another inside", "http://" + PRIVATE,
     ["http://public.test", "http://127.0.0.1"], "redirect not followed"),
    ("from private to private", "http://" + PRIVATE, ["http://127.0.0.1"], "done"),
]


def main():
    try:
        for words in (["link", "set", "lo", "up"], ["addr", "add", PUBLIC + "/32", "dev", "lo"],
                      ["addr", "add", PRIVATE + "/32", "dev", "lo"]):
            subprocess.run(["ip"] + words, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(error)
        sys.exit(77)
    names = NameServer({"public.test": [PUBLIC], "private.test": [PRIVATE], "rebound.test": [PUBLIC]},
                       ttl_s=0)
    reached = []

    def answer(request):
        _, row, step = request.target.split("/")
        hops, step = ROWS[int(row)][2], int(step)
        reached.append(int(row))
        if step == len(hops):
            return reply(b"end", headers=[("Connection", "close")])
        if "rebound" in hops[step]:
            asked = time.monotonic()
            names.names["rebound.test"] = ["127.0.0.1"]
            wait_for("end of the answer's life, a second", lambda: time.monotonic() > asked + 1.1)
        return reply(b"", "302 Found", [("Connection", "close"), ("Location", "%s:%d/%s/%d" % (
            hops[step], origin.port, row, step + 1))])

    origin = Origin(answering(answer), address="0.0.0.0")
    fetch = Fetch(pathlib.Path(sys.argv[1]))
    (fetch.directory / "resolv.conf").write_text("nameserver %s\n" % names.at)
    urls = ["%s:%d/%d/0" % (row[1], origin.port, i) for i, row in enumerate(ROWS)]
    done = fetch.json("-c", "4", "--null", *urls)
    failed = 0
    for i, (name, _, hops, want) in enumerate(ROWS):
        asked = len(hops) + (want == "done")
        good = done.end(urls[i]) == want and reached.count(i) == asked
        failed += not good
        print("%s %s: %s, %d times asked; %s" % ("ok    " if good else "failed", name,
                                                done.end(urls[i]), reached.count(i),
                                                done.ends[urls[i]].get("why", "")))
    origin.stop()
    names.stop()
    sys.exit(1 if failed else 0)


main()
