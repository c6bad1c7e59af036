"""`dejunk fetch`: many URLs at once, never too many, and every way it can end."""
import contextlib
import gzip
import json
import os
import re
import subprocess
import threading
import time
import zlib

import pytest
from fetch_house import sha256, sized
from house import Closed, answering, free_port, read_request, reply, wait_for
from intercept_house import Authority, hello, secure


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
                      ["-H", "no header", "http://x/"], ["-H", "A: b\nC: d", "http://x/"],
                      ["--continue", "--null", "http://x/"], ["-X", "GET /", "http://x/"]):
        done = fetch(*arguments)
        assert done.returncode == 64 and done.stderr and not done.stdout, arguments


@pytest.mark.parametrize("most", [
    ["-c", "10000"], ["--per-host", "10000"], ["--max-redirects", "1000"], ["--retries", "100"],
    ["--rate", "1000G"], ["-H", "A: b"] * 100, ["-i", "/dev/null"] * 100, ["--data", "@most"],
], ids=lambda most: most[0])
def test_options_at_their_limits(fetch, most):
    """What is most is taken, and one more is usage. Nothing is asked for: there is no such scheme."""
    if most[0] == "--data":
        with open(fetch.directory / "most", "wb") as file:
            file.truncate(256 * 1024 * 1024)
    assert fetch(*most, "--null", "x://x/").returncode == 1
    if len(most) > 2:
        most = most + most[:2]
    elif most[0] == "--data":
        with open(fetch.directory / "most", "ab") as file:
            file.write(b"x")
    else:
        unit = most[1].lstrip("0123456789")
        most = [most[0], str(int(most[1].rstrip("G")) + 1) + unit]
    done = fetch(*most, "--null", "x://x/")
    assert done.returncode == 64 and done.stderr and not done.stdout


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
