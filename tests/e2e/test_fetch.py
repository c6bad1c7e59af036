"""`dejunk fetch`: many URLs at once, never too many; every way it can end, and hostile servers."""
import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import zlib

import pytest
from house import (DEJUNK, SANITIZED, Closed, answering, die_with_us, free_port,
                   read_request, reply, wait_for)
from intercept_house import Authority, hello, secure

CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]")


class Fetched:
    """What `dejunk fetch` said: events by kind, ends by URL."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.events = [json.loads(line) for line in self.out.splitlines() if line.startswith(b"{")]
        self.ends = {one["url"]: one for one in self.events if one["event"] == "end"}

    def end(self, url):
        return self.ends[url]["end"]


class Fetch:
    def __init__(self, directory):
        self.directory = directory
        self.hosts = directory / "hosts"
        self.hosts.touch()
        (directory / "resolv.conf").touch()
        self.out = directory / "out"

    def command(self, *arguments):
        return [str(DEJUNK), "fetch", "-D", "hosts_file=%s" % self.hosts, "-D",
                "resolv_conf=%s" % (self.directory / "resolv.conf"), *arguments]

    def environment(self):
        return {**os.environ, "XDG_CONFIG_HOME": str(self.directory), "HOME": str(self.directory)}

    def start(self, *arguments, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.command(*arguments), cwd=self.directory, env=self.environment(),
                                preexec_fn=die_with_us, **how)

    def __call__(self, *arguments, stdin=b"", timeout=60):
        return subprocess.run(self.command(*arguments), cwd=self.directory, env=self.environment(),
                              input=stdin, capture_output=True, timeout=timeout, check=False)

    def json(self, *arguments, **how):
        return Fetched(self("--json", *arguments, **how))

    def files(self):
        """Names and contents of what is in the directory, hidden files too."""
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


@pytest.fixture
def fetch(tmp_path):
    return Fetch(tmp_path)


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def sized(head, size):
    return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (size, head)).encode()


# ---- the ancestor's walk, and never too many ------------------------------------------------------

class Steps:
    """Answers in steps, when it is told to: headers, then the body's two halves."""

    def __init__(self, start_origin):
        self.lock = threading.Lock()
        self.arrived = []
        self.steps = {}
        self.origin = start_origin(self.script)

    def step(self, name):
        with self.lock:
            return self.steps.setdefault(name, threading.Event())

    def script(self, origin, peer):
        while True:
            request = origin.seen(read_request(peer))
            with self.lock:
                self.arrived.append(request.target)
            assert self.step(request.target + " head").wait(30)
            peer.send(sized("X-Name: %s\r\n" % request.target, 8) + b"half")
            assert self.step(request.target + " body").wait(30)
            if request.target == "/broken":
                return
            peer.send(b"done")


def test_the_walk_of_the_ancestor(start_origin, fetch):
    steps = Steps(start_origin)
    urls = [steps.origin.url + path for path in ("/one", "/broken", "/three")]
    process = fetch.start("--json", "--null", *urls, stdout=subprocess.PIPE)
    said = []
    threading.Thread(target=lambda: said.extend(map(json.loads, process.stdout)), daemon=True).start()
    wait_for("two requests", lambda: sorted(steps.arrived) == ["/broken", "/one"])
    steps.step("/one head").set()
    wait_for("headers", lambda: said)
    assert said[0]["event"] == "headers" and said[0]["url"] == urls[0]
    assert (said[0]["version"], said[0]["status"], said[0]["phrase"]) == ("HTTP/1.1", 200, "OK")
    assert ["X-Name", "/one"] in said[0]["headers"]
    steps.step("/broken head").set()
    wait_for("headers", lambda: len(said) == 2)
    assert len(steps.arrived) == 2  # headers give no token back
    steps.step("/broken body").set()
    wait_for("the third", lambda: len(steps.arrived) == 3)  # the end of a body does
    assert said[2]["end"] == "short body" and said[2]["url"] == urls[1]
    for step in ("/one body", "/three head", "/three body"):
        steps.step(step).set()
    assert process.wait(30) == 1  # it stops when all have ended
    wait_for("the summary", lambda: said[-1]["event"] == "summary")
    ends = {one["url"]: one for one in said if one["event"] == "end"}
    assert ends[urls[0]]["end"] == ends[urls[2]]["end"] == "done"
    assert ends[urls[0]]["sha256"] == sha256(b"halfdone") and ends[urls[0]]["bytes"] == 8
    assert said[-1]["done"] == 2 and said[-1]["short body"] == 1


class Counting:
    """Counts what is under way at once, from request to the end of the answer."""

    def __init__(self, start_origin, pause_s=0.002, closes=False):
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.order = []
        self.pause_s, self.closes = pause_s, closes
        self.origin = start_origin(self.script)

    def script(self, origin, peer):
        while True:
            request = read_request(peer)
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
                self.order.append(int(request.target.rpartition("/")[2]))
            peer.send(sized("Connection: close\r\n" if self.closes else "", 20) + b"x" * 10)
            time.sleep(self.pause_s)  # how slow it is, not what is waited for
            with self.lock:
                self.now -= 1
            if self.closes:
                origin.let_go(peer)
            peer.send(b"y" * 10)
            if self.closes:
                return


@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closed"])
def test_never_more_than_two_and_in_order(start_origin, fetch, closes):
    slow = Counting(start_origin, closes=closes)
    urls = "".join("%s/%d\n" % (slow.origin.url, i) for i in range(200))
    done = fetch("-c", "2", "--null", "-", stdin=urls.encode())
    assert done.returncode == 0 and done.stdout.count(b" done: ") == 200
    assert slow.most == 2 and slow.origin.most_open <= 2
    assert sorted(slow.order) == list(range(200))
    started = re.findall(r"^\[(\d+)\] GET \S+/(\d+)$", done.stdout.decode(), re.M)
    assert started == [(str(i + 1), str(i)) for i in range(200)]


def test_one_at_a_time_is_strictly_in_order(start_origin, fetch):
    slow = Counting(start_origin, 0)
    done = fetch.json("-c", "1", "--null", *["%s/%d" % (slow.origin.url, i) for i in range(50)])
    assert done.code == 0 and slow.most == 1 and slow.order == list(range(50))


def test_per_host(start_origin, fetch):
    one, two = Counting(start_origin), Counting(start_origin)
    fetch.hosts.write_text("127.0.0.1 one.test two.test\n")
    urls = ["http://%s.test:%d/%d" % (name, slow.origin.port, i)
            for i in range(20) for name, slow in (("one", one), ("two", two))]
    done = fetch.json("-c", "8", "--per-host", "1", "--null", *urls)
    assert done.code == 0
    assert one.most == two.most == 1
    assert one.order == two.order == list(range(20))


# ---- every way to end -----------------------------------------------------------------------------

def broken(origin, peer):
    request = origin.seen(read_request(peer))
    if request.target == "/short":
        peer.send(sized("", 100) + b"only this")
    elif request.target == "/short-chunked":
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nonly \r\n")
    elif request.target == "/reset":
        peer.send(sized("", 100) + b"only this")
        peer.reset()
    elif request.target == "/head":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    elif request.target == "/loop":
        peer.send(reply(b"", "302 Found", [("Location", "/loop")]))
    elif request.target == "/garbage":
        peer.send(b"hello, who is there?\r\n\r\n")
    elif request.target == "/silent":
        with contextlib.suppress(Closed):
            peer.some(1)
    elif request.target == "/stalls":
        peer.send(sized("", 100) + b"x")
        with contextlib.suppress(Closed):
            peer.some(1)
    elif request.target == "/fine":
        peer.send(reply(b"fine"))
    # else: nothing at all


ENDS = {
    "/fine": "done", "/nothing": "lost before headers", "/head": "lost before headers",
    "/short": "short body", "/short-chunked": "short body", "/reset": "short body",
    "/silent": "timed out", "/stalls": "timed out", "/loop": "too many redirects",
    "/garbage": "bad answer",
}


def test_every_end_has_its_name(start_origin, fetch, tmp_path):
    origin = start_origin(broken)
    stranger = Authority(tmp_path / "stranger")
    secret = start_origin(secure(stranger.server("DNS:localhost"), hello()))
    names = {origin.url + path: end for path, end in ENDS.items()}
    names["http://127.0.0.1:%d/" % free_port()] = "refused"
    names["http://nobody.invalid/"] = "no such host"
    names["https://localhost:%d/" % secret.port] = "certificate"
    names["ftp://example.com/"] = "bad URL"
    done = fetch.json("-c", "20", "--null", "--timeout", "3s", *names)
    assert done.code == 1
    assert {url: done.end(url) for url in names} == names
    # In words, too, and a reason for the certificate.
    words = fetch("-q", "--null", "--timeout", "3s", *names)
    assert words.returncode == 1
    for end in set(names.values()):
        assert re.search(r"^\[\d+\] %s " % end, words.stdout.decode(), re.M), end
    assert re.search(r"^\[\d+\] certificate https://\S+ \(.+\)$", words.stdout.decode(), re.M)


def test_nothing_and_nonsense_are_usage(fetch):
    for arguments in ([], ["-c", "0", "http://x/"], ["-c", "x", "http://x/"], ["--nonsense"],
                      ["--body", "--null", "http://x/"], ["--max-size", "many", "http://x/"],
                      ["--rate", "1001G", "--null", "http://x/"],
                      ["-H", "no header", "http://x/"], ["-H", "A: b\nC: d", "http://x/"],
                      ["--continue", "--null", "http://x/"], ["-X", "GET /", "http://x/"]):
        done = fetch(*arguments)
        assert done.returncode == 64 and done.stderr and not done.stdout, arguments


# ---- bodies ---------------------------------------------------------------------------------------

def test_files_are_whole_and_named_for_their_urls(start_nginx, fetch):
    nginx = start_nginx()
    bodies = {"a.txt": b"a" * 10, "b.bin": os.urandom(3000000), "empty": b""}
    for name, body in bodies.items():
        (nginx.www / name).write_bytes(body)
    (nginx.www / "sub").mkdir()
    (nginx.www / "sub" / "a.txt").write_bytes(b"another")
    paths = [*bodies, "sub/a.txt", "gz/a.txt", "missing.txt"]
    done = fetch.json("-o", str(fetch.out), *[nginx.url + "/" + path for path in paths])
    assert done.code == 0
    want = dict(bodies)
    found = fetch.files()
    assert sorted(found.values()) == sorted([*want.values(), b"another", b"a" * 10])
    for end in done.ends.values():
        if end["status"] == 200:
            body = open(end["file"], "rb").read()
            assert end["bytes"] == len(body) and end["sha256"] == sha256(body)
    missing = done.ends[nginx.url + "/missing.txt"]
    assert missing["status"] == 404 and missing["why"] == "not kept" and "file" not in missing
    assert fetch("--null", "--fail", nginx.url + "/missing.txt").returncode == 1


def test_bodies_to_standard_output_come_in_order(start_origin, fetch):
    steps = Steps(start_origin)
    bodies = []

    def script(origin, peer):
        request = read_request(peer)
        number = int(request.target[1:])
        body = b"%d" % number * 200000
        if number == 0:
            assert steps.step("others").wait(30)
        peer.send(reply(body, headers=[("Connection", "close")]))
        bodies.append(number)
        if len(bodies) == 3:
            steps.step("others").set()

    origin = start_origin(script)
    done = fetch("--body", "-c", "4", *["%s/%d" % (origin.url, i) for i in range(4)])
    assert done.returncode == 0
    assert done.stdout == b"".join(b"%d" % i * 200000 for i in range(4))
    assert done.stderr.count(b"done") >= 4


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_codings_are_undone(start_origin, fetch, coding):
    body = b"squeeze me " * 10000
    coded = gzip.compress(body) if coding == "gzip" else zlib.compress(body)

    def answer(request):
        assert coding in request.fields["accept-encoding"]
        cut = coded[:-5] if request.target == "/cut" else coded
        cut = b"\x1f\x8b no" + cut if request.target == "/corrupt" else cut
        return reply(cut, headers=[("Content-Encoding", coding)])

    origin = start_origin(answering(answer))
    done = fetch.json("-o", str(fetch.out), origin.url + "/fine", origin.url + "/cut",
                      origin.url + "/corrupt")
    assert done.ends[origin.url + "/fine"]["sha256"] == sha256(body)
    assert done.end(origin.url + "/cut") == done.end(origin.url + "/corrupt") == "bad coding"
    assert fetch.files() == {"fine": body}


# ---- stopped, and gone on with ----------------------------------------------------------------------

class Big:
    """A large body with an ETag, in ranges; what was asked for is kept."""

    def __init__(self, start_origin, body, etag='"one"'):
        self.body, self.etag = body, etag
        self.hold_at = len(body) // 2
        self.go_on = threading.Event()
        self.origin = start_origin(self.script)

    def script(self, origin, peer):
        while True:
            request = origin.seen(read_request(peer))
            part = re.fullmatch(r"bytes=(\d+)-", request.fields.get("range", ""))
            start = int(part.group(1)) if part else 0
            if request.fields.get("if-range", self.etag) != self.etag:
                start = 0
            if start >= len(self.body) > 0:
                peer.send(reply(b"", "416 Range Not Satisfiable",
                                [("Content-Range", "bytes */%d" % len(self.body))]))
                continue
            lines = ["HTTP/1.1 " + ("206 Partial Content" if start else "200 OK"),
                     "Content-Length: %d" % (len(self.body) - start), "ETag: " + self.etag]
            if start:
                lines.append("Content-Range: bytes %d-%d/%d" % (start, len(self.body) - 1,
                                                                len(self.body)))
            peer.send(("\r\n".join(lines) + "\r\n\r\n").encode())
            if start < self.hold_at:
                peer.send(self.body[start:self.hold_at])
                start = self.hold_at
                self.go_on.wait(30)
            peer.send(self.body[start:])


@pytest.mark.parametrize("how", ["killed", "interrupted"])
@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_stopped_and_continued(start_origin, fetch, how, changed):
    big = Big(start_origin, os.urandom(4000000))
    small = start_origin(answering(lambda request: reply(b"small")))
    urls = [small.url + "/small", big.origin.url + "/big"]
    process = fetch.start("--continue", "-q", "-o", str(fetch.out), *urls, stdout=subprocess.DEVNULL)
    part = fetch.out / ".big.part"
    wait_for("half of it", lambda: part.exists() and part.stat().st_size == big.hold_at)
    wait_for("the small one", lambda: (fetch.out / "small").exists())
    process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
    assert process.wait(10) == (-signal.SIGKILL if how == "killed" else 1)
    assert not (fetch.out / "big").exists()
    big.go_on.set()
    if changed:
        big.etag, big.body = '"two"', os.urandom(4000000)
    seen = len(big.origin.requests)
    done = fetch.json("--continue", "-o", str(fetch.out), *urls)
    assert done.code == 0
    assert (fetch.out / "big").read_bytes() == big.body
    assert done.ends[urls[1]]["sha256"] == sha256(big.body)
    request = big.origin.requests[seen]
    assert request.fields["range"] == "bytes=%d-" % big.hold_at
    assert request.fields["if-range"] == '"one"'
    # What was whole was left alone.
    assert len(small.requests) == 1 and done.ends[urls[0]]["why"] == "was whole already"
    assert {name for name in fetch.files() if not name.startswith(".")} == {"big", "small"}
    assert ".big.part" not in fetch.files()


def test_interrupted_keeps_what_is_whole_and_nothing_else(start_origin, fetch):
    big = Big(start_origin, os.urandom(300000))
    small = start_origin(answering(lambda request: reply(b"small")))
    process = fetch.start("-o", str(fetch.out), small.url + "/small", big.origin.url + "/big",
                          stdout=subprocess.PIPE)
    part = fetch.out / ".big.part"
    wait_for("half of it", lambda: part.exists() and part.stat().st_size == big.hold_at)
    wait_for("the small one", lambda: (fetch.out / "small").exists())
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=10)[0].decode()
    assert process.returncode == 1
    assert "interrupted" in out and "2 URLs: 1 done, 1 interrupted" in out
    assert fetch.files() == {"small": b"small"}
    big.go_on.set()


def test_broken_off_and_tried_again_within_one_run(start_origin, fetch):
    body = os.urandom(200000)
    seen = []

    def script(origin, peer):
        request = origin.seen(read_request(peer))
        start = int(request.fields.get("range", "bytes=0-")[6:-1])
        seen.append(start)
        head = "HTTP/1.1 %s\r\nETag: \"e\"\r\nContent-Length: %d\r\n" % (
            "206 Partial Content" if start else "200 OK", len(body) - start)
        if start:
            head += "Content-Range: bytes %d-%d/%d\r\n" % (start, len(body) - 1, len(body))
        peer.send((head + "\r\n").encode() + body[start:start + 90000])

    origin = start_origin(script)
    done = fetch.json("--retries", "3", "-o", str(fetch.out), "-H", "Accept-Encoding: identity",
                      origin.url + "/x")
    assert done.code == 0 and seen == [0, 90000, 180000]
    assert fetch.files() == {"x": body} and done.ends[origin.url + "/x"]["sha256"] == sha256(body)


def parts_of(body, answer):
    """An origin that breaks off the whole at half, and gives parts as answer(start) says: the end of
    the part, the ETag, and how many bytes it says and sends (None: as many as there are)."""
    def script(origin, peer):
        request = origin.seen(read_request(peer))
        if "range" not in request.fields:
            peer.send(sized('ETag: "e"\r\n', len(body)) + body[:len(body) // 2])
            return
        start = int(request.fields["range"][6:-1])
        end, etag, says = answer(start)
        length = "Content-Length: %d" % (says or end - start)
        peer.send(("HTTP/1.1 206 Partial Content\r\nETag: %s\r\nConnection: close\r\n"
                   "Content-Range: bytes %d-%d/%d\r\n%s\r\n\r\n"
                   % (etag, start, end - 1, len(body), length)).encode() + body[start:end])
    return script


def test_a_part_that_does_not_reach_the_end(start_origin, fetch):
    body = os.urandom(100000)
    origin = start_origin(parts_of(body, lambda start: (min(start + 20000, len(body)), '"e"', None)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "--continue", "-o", str(fetch.out), url)
    assert done.end(url) == "short body" and "x" not in fetch.files()
    assert fetch.files()[".x.part"] == body[:70000]
    done = fetch.json("--retries", "1", "--continue", "-o", str(fetch.out), url)
    assert done.end(url) == "done" and done.ends[url]["sha256"] == sha256(body)
    assert fetch.files()["x"] == body


def test_a_part_of_another_length_or_body(start_origin, fetch):
    body = os.urandom(100000)
    origin = start_origin(parts_of(body, lambda start: (len(body), '"e"', len(body) - start - 1)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "-o", str(fetch.out), url)
    assert done.end(url) == "bad answer" and not fetch.files()
    # Another body: begun anew, once; to standard output it cannot be.
    origin = start_origin(parts_of(body, lambda start: (len(body), '"other"', None)))
    url = origin.url + "/x"
    done = fetch.json("--retries", "1", "-o", str(fetch.out), url)
    assert done.end(url) == "bad answer" and not fetch.files()
    assert ["range" in one.fields for one in origin.requests] == [False, True, False, True]
    done = fetch("--retries", "1", "--body", url)
    assert done.returncode == 1 and b"bad answer" in done.stderr
    assert done.stdout == body[:50000]


def test_if_changed(start_nginx, fetch):
    nginx = start_nginx()
    (nginx.www / "a").write_bytes(b"first")
    url = nginx.url + "/a"
    assert fetch.json("--if-changed", "-o", str(fetch.out), url).ends[url]["status"] == 200
    again = fetch.json("--if-changed", "-o", str(fetch.out), url)
    assert again.code == 0 and again.ends[url]["status"] == 304
    assert again.ends[url]["why"] == "not changed" and again.ends[url]["sha256"] == sha256(b"first")
    (nginx.www / "a").write_bytes(b"second one")
    assert fetch.json("--if-changed", "-o", str(fetch.out), url).ends[url]["status"] == 200
    assert (fetch.out / "a").read_bytes() == b"second one"
    assert {name for name in fetch.files() if not name.startswith(".")} == {"a"}


def test_a_note_is_only_ever_of_what_is_there(start_origin, fetch):
    bodies = {"/one/x": b"first", "/two/x": b"other"}
    origin = start_origin(answering(lambda request: reply(
        bodies[request.target], headers=[("ETag", '"e"')])))
    one, two = origin.url + "/one/x", origin.url + "/two/x"
    fetch.out.mkdir()
    note = "url %s\netag \"e\"\nsha256 %s\nbytes 5\nend\n" % (one, sha256(b"first"))
    # What is left of a file that went away is not taken for the next one's.
    (fetch.out / ".x.meta").write_text(note)
    assert fetch.json("-o", str(fetch.out), two).code == 0
    assert fetch.files() == {"x": b"other"}
    # Nor is a note of another size, whoever left it; what it stands beside is not replaced.
    (fetch.out / ".x.meta").write_text(note.replace("bytes 5", "bytes 4"))
    for how in ("--continue", "--if-changed"):
        done = fetch.json(how, "-o", str(fetch.out), one)
        assert done.code == 0 and fetch.files()["x"] == b"other"
        kept = done.ends[one]["file"]
        assert kept != str(fetch.out / "x") and open(kept, "rb").read() == b"first"


# ---- trying again, limits -----------------------------------------------------------------------------

def test_retry_after_is_honoured(start_origin, fetch):
    times = []

    def answer(_):
        times.append(time.monotonic())
        if len(times) == 1:
            return reply(b"busy", "503 Service Unavailable", [("Retry-After", "2")])
        return reply(b"here")

    origin = start_origin(answering(answer))
    done = fetch.json("--retries", "1", "--null", origin.url + "/")
    assert done.code == 0 and done.ends[origin.url + "/"]["sha256"] == sha256(b"here")
    assert 2 <= times[1] - times[0] < 20
    assert [one["wait_ms"] >= 2000 for one in done.events if one["event"] == "retry"] == [True]


def test_what_may_not_be_repeated_is_not(start_origin, fetch):
    origin = start_origin(broken)
    done = fetch.json("--retries", "3", "--null", "-d", "x", origin.url + "/nothing")
    assert done.end(origin.url + "/nothing") == "lost before headers"
    assert len(origin.requests) == 1
    long = start_origin(answering(lambda _: reply(b"", "503 Busy", [("Retry-After", "86400")])))
    done = fetch.json("--retries", "3", "--null", long.url + "/")
    assert done.ends[long.url + "/"]["status"] == 503 and done.ends[long.url + "/"]["attempts"] == 1


def test_limits(start_origin, fetch):
    def drip(origin, peer):
        request = read_request(peer)
        if request.target == "/says":
            peer.send(sized("", 1001) + b"x" * 1001)
        elif request.target == "/fits":
            peer.send(sized("", 1000) + b"x" * 1000)
        elif request.target == "/endless":
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                peer.send(b"x" * 1000)
        elif request.target == "/drips":
            peer.send(sized("", 100))
            while True:
                peer.send(b"x")
                time.sleep(0.2)  # how slow it is

    origin = start_origin(drip)
    urls = {path: origin.url + path for path in ("/says", "/fits", "/endless", "/drips")}
    done = fetch.json("--max-size", "1000", "--max-time", "2s", "-c", "4", "-o", str(fetch.out),
                      *urls.values())
    assert {path: done.end(url) for path, url in urls.items()} == {
        "/says": "too large", "/fits": "done", "/endless": "too large", "/drips": "timed out"}
    assert fetch.files() == {"fits": b"x" * 1000}


def test_rate(start_nginx, fetch):
    nginx = start_nginx()
    (nginx.www / "x").write_bytes(b"x" * 300000)
    start = time.monotonic()
    done = fetch("-c", "4", "--rate", "400k", "--null", *[nginx.url + "/x"] * 4)
    took = time.monotonic() - start
    assert done.returncode == 0 and 2.5 < took < 30


def test_a_low_rate_goes_on(start_origin, fetch):
    origin = start_origin(answering(lambda _: reply(b"x")))
    start = time.monotonic()
    done = fetch("--rate", "18", "--null", origin.url + "/x")  # less than a byte in each tick
    assert done.returncode == 0 and 1 < time.monotonic() - start < 30


def test_a_long_upload_is_not_timed_out(start_origin, fetch):
    size = 40000000

    def script(_, peer):
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.some(1 << 20)
        took, step = len(head.partition(b"\r\n\r\n")[2]), 0
        while took < size:
            took += len(peer.some(1 << 20))
            if step < took < 24000000:
                step = took + 800000
                time.sleep(0.2)  # how slow it is: in all more than --timeout, never silent so long
        peer.send(reply(b"took it"))

    body = fetch.directory / "body"
    body.write_bytes(b"x" * size)
    origin = start_origin(script)
    done = fetch.json("--timeout", "2s", "--null", "-d", "@%s" % body, origin.url + "/x")
    assert done.end(origin.url + "/x") == "done"


# ---- redirects, credentials, https -----------------------------------------------------------------------

def test_methods_and_headers(start_origin, fetch):
    origin = start_origin(answering(lambda _: reply(b"ok", headers=[("X", "y")])))
    url = origin.url + "/x"
    assert fetch("--null", "-d", "a=b", "-H", "X-Mine: 1", "-H", "User-Agent: me", url).returncode == 0
    assert fetch("--null", "-I", "-H", "Accept:", url).returncode == 0
    post, head = origin.requests
    assert post.first.startswith("POST ") and post.body == b"a=b"
    assert post.fields["x-mine"] == "1" and post.fields["user-agent"] == "me"
    assert post.fields["content-type"] == "application/x-www-form-urlencoded"
    assert head.first.startswith("HEAD ") and "accept" not in head.fields
    assert head.fields["user-agent"].startswith("dejunk/")


def test_credentials_stay_with_their_origin(start_origin, fetch):
    other = start_origin(answering(lambda _: reply(b"other")))

    def answer(request):
        if request.target == "/away":
            return reply(b"", "302 Found", [("Location", other.url + "/there")])
        if request.target == "/inside":
            return reply(b"", "307 Temporary Redirect", [("Location", "/end")])
        return reply(b"end")

    origin = start_origin(answering(answer))
    secrets = ["-H", "Cookie: a=b", "-H", "Authorization: Bearer t", "-H", "X-Api-Key: k",
               "-H", "Accept-Language: de"]
    for path in ("/away", "/inside"):
        assert fetch("--null", *secrets, origin.url + path).returncode == 0
    login = origin.url.replace("//", "//ann:word@")
    assert fetch("--null", login + "/away").returncode == 0
    for request in origin.requests[:-1]:
        assert request.fields["cookie"] == "a=b" and request.fields["x-api-key"] == "k"
    assert origin.requests[-1].fields["authorization"] == "Basic YW5uOndvcmQ="
    assert len(other.requests) == 2
    for request in other.requests:
        assert not {"cookie", "authorization", "x-api-key"} & set(request.fields)
    assert other.requests[0].fields["accept-language"] == "de"


def test_https_is_verified_and_kept(start_origin, fetch, tmp_path):
    authority = Authority(tmp_path / "authority")
    plain = start_origin(answering(lambda _: reply(b"plain")))

    def answer(request):
        if request.target == "/down":
            return reply(b"", "302 Found", [("Location", plain.url + "/x")])
        return reply(b"secret")

    good = start_origin(secure(authority.server("DNS:localhost", "IP:127.0.0.1"), answering(answer)))
    named = start_origin(secure(authority.server("DNS:other.test"), hello()))
    urls = ["https://localhost:%d/a" % good.port, "https://localhost:%d/b" % good.port,
            "https://127.0.0.1:%d/" % good.port, "https://localhost:%d/" % named.port,
            "https://localhost:%d/down" % good.port]
    roots = str(authority.root)
    done = fetch.json("-c", "1", "--cacert", roots, "--null", *urls)
    assert [done.end(url) for url in urls] == ["done", "done", "done", "certificate",
                                               "redirect not followed"]
    assert done.ends[urls[0]]["sha256"] == sha256(b"secret") and done.ends[urls[3]]["why"]
    assert not plain.requests
    assert good.accepted <= 3  # kept for the next
    done = fetch.json("--cacert", roots, "--allow-downgrade", "--null", urls[4])
    assert done.end(urls[4]) == "done" and len(plain.requests) == 1


# ---- hostile servers --------------------------------------------------------------------------------------

def hostile(port):
    def script(origin, peer):
        request = origin.seen(read_request(peer))
        target = request.target

        def to(location):
            peer.send(reply(b"", "302 Found", [("Location", location)]))

        if target == "/endless-headers":
            peer.send(b"HTTP/1.1 200 OK\r\n")
            while True:
                peer.send(b"X: " + b"y" * 1000 + b"\r\n")
        elif target == "/endless-line":
            peer.send(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                peer.send(b"y" * 1000)
        elif target == "/endless-interim":
            while True:
                peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        elif target == "/self":
            to(target)
        elif target == "/to-file":
            to("file:///etc/passwd")
        elif target == "/to-script":
            to("javascript:alert(1)")
        elif target == "/to-loopback":
            to("http://127.0.0.1:%d/secret" % port())
        elif target == "/to-loopback-v6":
            to("http://[::1]:%d/secret" % port())
        elif target == "/to-mapped":
            to("http://[::ffff:127.0.0.1]:%d/secret" % port())
        elif target == "/to-number":
            to("http://2130706433:%d/secret" % port())
        elif target == "/to-lan":
            to("http://192.168.0.1/")
        elif target == "/to-metadata":
            to("http://169.254.169.254/latest/")
        elif target == "/to-localhost":
            to("http://localhost:%d/secret" % port())
        elif target == "/to-name":
            to("http://inside.test:%d/secret" % port())
        elif target == "/to-user":
            to("http://public.test@127.0.0.1:%d/secret" % port())
        elif target == "/bomb":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
            engine = zlib.compressobj(9, zlib.DEFLATED, 31)
            zeros = b"\0" * (1 << 20)
            for _ in range(4096):  # 4 GB
                peer.send(engine.compress(zeros) + engine.flush(zlib.Z_SYNC_FLUSH))
        elif target.startswith("/disposition"):
            peer.send(reply(b"here", headers=[
                ("Content-Disposition", "attachment; filename=\"../../x\"")]))
        else:
            peer.send(reply(b"path"))
    return script


HOSTILE = {
    "/endless-headers": "bad answer", "/endless-line": "bad answer",
    "/endless-interim": "bad answer", "/self": "too many redirects",
    "/to-file": "redirect not followed", "/to-script": "redirect not followed",
    "/to-loopback": "redirect not followed", "/to-loopback-v6": "redirect not followed",
    "/to-mapped": "redirect not followed", "/to-number": "redirect not followed",
    "/to-lan": "redirect not followed", "/to-metadata": "redirect not followed",
    "/to-localhost": "redirect not followed", "/to-name": "redirect not followed",
    "/to-user": "redirect not followed", "/bomb": "too large", "/disposition": "done",
    "/..%2f..%2fescape": "done", "/%2e%2e": "done", "/a/..%5c..%5cb": "done",
    "/%00": "done", "/.bashrc": "done", "/" + "n" * 3000: "done",
}


def test_hostile_servers_get_nowhere(start_origin, fetch):
    ports = []
    origin = start_origin(hostile(lambda: ports[0]))
    ports.append(origin.port)
    fetch.hosts.write_text("127.0.0.1 public.test inside.test\n")
    before = {path for path in fetch.directory.rglob("*")}
    urls = {"http://public.test:%d%s" % (origin.port, path): end for path, end in HOSTILE.items()}
    done = fetch.json("-c", "8", "-o", str(fetch.out), *urls, timeout=120)
    assert {url: done.end(url) for url in urls} == urls
    assert not [one for one in origin.requests if one.target == "/secret"]
    for path in {path for path in fetch.directory.rglob("*")} - before:
        assert path == fetch.out or path.parent == fetch.out
    names = fetch.files()
    assert len(names) == 7 and not [name for name in names if name.startswith(".")]
    assert names["disposition"] == b"here"


PAGE = b"<p>A page that has some length.</p>\n" * 2000


def coded(name, body):
    return reply(body, headers=[("Content-Encoding", name)])


def zstd_zeros(window, blocks):
    """Blocks of 128 kB that are one byte again and again (RFC 8878 section 3.1.1)."""
    heads = [((0x20000 << 3) | 2 | (i == blocks - 1)).to_bytes(3, "little") for i in range(blocks)]
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window]) + b"".join(head + b"\0" for head in heads)


def damaged(body, at, by=b"\xff" * 20):
    return body[:at] + by + body[at + len(by):]


def chunked(rest):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + rest


def nested(times):
    body = PAGE
    for _ in range(times):
        body = gzip.compress(body)
    return coded(", ".join(["gzip"] * times), body)


# What comes, what then goes on for ever, whether a reset ends it; and how the fetch ends.
FAULTS = {
    "reset at once": (b"", b"", True, "lost before headers"),
    "reset in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", b"", True, "lost before headers"),
    "reset in a chunk": (chunked(b"400\r\nxx"), b"", True, "short body"),
    "closed in a chunk": (chunked(b"400\r\nxx"), b"", False, "short body"),
    "endless status line": (b"HTTP/1.1 200 ", b"y" * 65536, False, "bad answer"),
    "endless chunk extension": (chunked(b"5;"), b"y" * 65536, False, "bad answer"),
    "endless trailer": (chunked(b"1\r\nx\r\n0\r\n"), b"X-T: yyyyyyyy\r\n" * 1000, False,
                        "bad answer"),
    "endless 1xx": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100, False, "bad answer"),
    "bytes behind the body": (reply(b"hello") + b"EXTRA" * 100, b"", False, "done"),
    "gzip corrupt": (coded("gzip", damaged(gzip.compress(os.urandom(9000)), 2000)), b"", False,
                     "bad coding"),
    "gzip bad sum": (coded("gzip", damaged(gzip.compress(PAGE), -6, b"!")), b"", False, "bad coding"),
    "gzip cut": (coded("gzip", gzip.compress(PAGE)[:-20]), b"", False, "bad coding"),
    "gzip in name only": (coded("gzip", PAGE), b"", False, "bad coding"),
    "gzip of nothing": (coded("gzip", b""), b"", False, "done"),
    "gzip, garbage behind": (coded("gzip", gzip.compress(PAGE) + b"garbage" * 50), b"", False, "done"),
    "gzip twelve times": (nested(12), b"", False, "done"),  # too many to undo: kept as they came
    "gzip twice": (nested(2), b"", False, "done"),
    "br in name only": (coded("br", gzip.compress(PAGE)), b"", False, "bad coding"),
    "zstd bomb": (coded("zstd", zstd_zeros(0x58, 8192)), b"", False, "too large"),
    "zstd window": (coded("zstd", zstd_zeros(0xf8, 80)), b"", False, "too large"),
    "zstd cut": (coded("zstd", zstd_zeros(0x58, 80)[:100]), b"", False, "bad coding"),
    "coding unknown": (coded("x-foo", b"\0\1raw"), b"", False, "done"),
}


def test_faults_end_as_they_should(start_origin, fetch):
    names = list(FAULTS)

    def script(origin, peer):
        begin, more, resets, _ = FAULTS[names[int(read_request(peer).target[1:])]]
        peer.send(begin)
        while more:
            peer.send(more)
        if resets:
            peer.reset()
        else:
            with contextlib.suppress(OSError):  # it may be gone
                peer.sock.shutdown(socket.SHUT_WR)
            peer.rest()

    origin = start_origin(script)
    urls = ["%s/%d" % (origin.url, i) for i in range(len(names))]
    done = fetch.json("-c", "4", "-o", str(fetch.out), "--timeout", "20s", *urls)
    assert dict(zip(names, map(done.end, urls))) == {name: FAULTS[name][3] for name in names}
    files = fetch.files()
    assert sorted(files) == sorted(str(i) for i, name in enumerate(names) if FAULTS[name][3] == "done")
    assert files[str(names.index("gzip twice"))] == PAGE
    assert files[str(names.index("bytes behind the body"))] == b"hello"


def test_what_the_user_names_may_lead_on_inside(start_origin, fetch):
    """From loopback to loopback, and back to what was named, is no way in from outside."""
    def answer(request):
        if request.target == "/a":
            return reply(b"", "302 Found", [("Location", "http://localhost:%d/b" % origin.port)])
        if request.target == "/b":
            return reply(b"", "302 Found", [("Location", "http://127.0.0.1:%d/c" % origin.port)])
        return reply(b"there")

    origin = start_origin(answering(answer))
    assert fetch.json("--null", origin.url + "/a").end(origin.url + "/a") == "done"


# ---- through a running dejunk -------------------------------------------------------------------------------

def test_through_tells_what_was_done(start_proxy, start_origin, fetch, tmp_path):
    def answer(request):
        assert not [name for name in request.fields if "dejunk" in name.lower()]
        return reply(b"body", headers=[("Refresh", "9"), ("Proxy-Dejunk", "a lie")])

    origin = start_origin(answering(answer))
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.txt").write_text("/banner.\n||127.0.0.1^$removeparam=utm_source\n"
                                    "/strip$removeheader=refresh\n||tracker.test^\n")
    proxy = start_proxy(rules_dir=str(rules))
    plain, banner = origin.url + "/plain", origin.url + "/banner.gif"
    stripped, param = origin.url + "/strip", origin.url + "/x?utm_source=a&b=c"
    tunnel = "https://tracker.test/"
    urls = [plain, banner, stripped, param, tunnel]
    for way in (["--through=" + proxy.url], ["--through", "127.0.0.1:%d" % proxy.port],
                ["--config", str(proxy.directory / "proxy.conf"), "--through"]):
        done = fetch.json("--null", *urls, *way)
        said = {url: done.ends[url].get("dejunk", "") for url in urls}
        assert said[plain] == "passed"
        assert said[banner].startswith("blocked; by=\"/banner. (") and "line 1" in said[banner]
        assert said[stripped] == "changed; headers=\"Refresh\""
        assert said[param].startswith("changed; url=\"http://127.0.0.1:%d/x?b=c\"" % origin.port)
        assert "blocked" in done.ends[tunnel]["why"] and "tracker.test" in done.ends[tunnel]["why"]
    assert not [one for one in origin.requests if "banner" in one.target]
    assert "dejunk" not in fetch.json("--null", plain).ends[plain]


def test_through_a_dejunk_that_looks_into_https(start_proxy, start_origin, fetch, tmp_path):
    def answer(request):
        assert not [name for name in request.fields if "dejunk" in name.lower()]
        return reply(b"body", headers=[("Refresh", "9")])

    authority = Authority(tmp_path / "authority")
    origin = start_origin(secure(authority.server("DNS:localhost"), answering(answer)))
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.txt").write_text("/banner.\n/strip$removeheader=refresh\n")
    proxy = start_proxy(rules_dir=str(rules), intercept="all", extra_ca=[str(authority.root)])
    urls = ["https://localhost:%d/%s" % (origin.port, path)
            for path in ("plain", "banner.gif", "strip1", "strip2")]
    done = fetch.json("-c", "2", "--null", "--config", str(proxy.directory / "proxy.conf"), "--through",
                      *urls)
    said = [done.ends[url].get("dejunk", "") for url in urls]
    assert [done.end(url) for url in urls] == ["done"] * 4
    assert said[0] == "passed" and said[1].startswith("blocked; by=\"/banner. (")
    assert said[2] == said[3] == "changed; headers=\"Refresh\""


# ---- what is shown --------------------------------------------------------------------------------------------

def test_no_control_characters_in_a_file(start_origin, fetch):
    origin = start_origin(answering(lambda _: reply(
        b"x", "200 O\xe9K", [("X", "a\tb\x80\xffc"), ("Y", "\x80[31m")])))
    arguments = ["--null", origin.url + "/\x1b[31m\x07", origin.url + "/b", "http://\x1b[2J.invalid/"]
    for more in ([], ["-q"], ["--json"]):
        done = fetch(*more, *arguments)
        assert done.stdout and not CONTROLS.search(done.stdout + done.stderr), done.stdout


class Terminal:
    """tmux with one pane, on a socket of its own."""

    def __init__(self, directory, columns, rows):
        self.count, self.is_wrapped = rows, False
        self.command = ["tmux", "-f", "/dev/null", "-S", str(directory / ("tmux%d" % columns))]
        self.run("new-session", "-d", "-x", str(columns), "-y", str(rows),
                 "env TERM=screen PS1='$ ' sh")

    def run(self, *arguments):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=10,
                              check=True).stdout

    def type(self, line):
        self.run("send-keys", "-l", line)
        self.run("send-keys", "Enter")

    def rows(self):
        """Its rows. Where lines are wrapped, they are fewer than these."""
        both = [line.rstrip() for line in
                self.run("capture-pane", "-p", ";", "capture-pane", "-pJ").split("\n")]
        rows, lines = both[:self.count], both[self.count:2 * self.count]
        self.is_wrapped = lines != rows
        return rows

    def stop(self):
        self.run("kill-server")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux here")
@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("quiet", ["-q", ""], ids=["quiet", "headers"])
def test_progress_on_a_terminal(start_origin, fetch, tmp_path, columns, quiet):
    go_on = threading.Event()

    def script(origin, peer):
        origin.seen(read_request(peer))
        peer.send(sized("X-Long: %s\r\n" % ("y" * 300), 2000000) + b"x" * 1000000)
        go_on.wait(30)
        peer.send(b"x" * 1000000)

    origin = start_origin(script)
    # What it runs is in a file, so that no line that is typed wraps.
    urls = ["%s/%s%d" % (origin.url, "a-name-longer-than-the-terminal-is-wide-" * 3, i)
            for i in range(3)]
    go = tmp_path / "go"
    go.write_text("clear\n%s\necho code $?\n" % " ".join(
        "'%s'" % word for word in fetch.command("-c", "3", *([quiet] if quiet else []), "--null",
                                                *urls)))
    terminal = Terminal(tmp_path, columns, 24)
    try:
        terminal.type("cd %s; . ./go" % tmp_path if len(str(tmp_path)) < 20 else ". %s" % go)

        def drawn():
            rows = terminal.rows()
            return rows if len([row for row in rows if "1.00 MB" in row]) == 3 else None

        rows = wait_for("progress", drawn)
        assert not terminal.is_wrapped
        assert all(len(row) < columns for row in rows)
        shown = [row for row in rows if "1.00 MB" in row]
        assert all(re.search(r"[\d.]+ [kMG]?B?(ytes)?/s +\S+$", row) for row in shown)
        if columns == 80:
            assert all("50%" in row and "=>" in row for row in shown)
            assert "3 under way, 0 done, 0 failed" in "\n".join(rows)
        assert "3.00 MB" in rows[rows.index(shown[-1]) + 1]  # all together
        go_on.set()
        rows = wait_for("its end", lambda: "code 0" in terminal.rows() and terminal.rows())
        assert not terminal.is_wrapped
        text = "\n".join(rows)
        assert "3 URLs: 3 done" in text and "6.00 MB in " in text
        assert text.count("] done") == 3
        # Nothing is left over of the display.
        assert "under way" not in text and "50%" not in text and "=>" not in text
        assert all(row.startswith("[") or row in ("$", "", "code 0") or " URLs: " in row or
                   " in " in row for row in rows), text
    finally:
        terminal.stop()


@pytest.mark.skipif(SANITIZED, reason="sanitizers have memory of their own")
def test_memory_does_not_grow_with_the_number(start_nginx, fetch):
    nginx = start_nginx()
    (nginx.www / "x").write_bytes(b"x" * 100)

    def most_kb(count):
        said = fetch.directory / "said"
        with open(said, "wb") as out:
            process = fetch.start("-c", "16", "-q", "--null", "-", stdin=subprocess.PIPE, stdout=out)
        for i in range(count):
            process.stdin.write(b"%s/x?%d\n" % (nginx.url.encode(), i))
        process.stdin.flush()
        wait_for("all of them", lambda: said.read_bytes().count(b"] done") == count, 60)
        status = open("/proc/%d/status" % process.pid, encoding="ascii").read()
        process.stdin.close()
        assert process.wait(30) == 0
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))

    before = most_kb(1000)
    assert most_kb(20000) < before + 1000
