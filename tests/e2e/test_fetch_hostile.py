"""`dejunk fetch` of servers that mean it badly: each ends as it should, and nothing is written
elsewhere."""
import contextlib
import gzip
import os
import socket
import threading
import zlib

from house import answering, read_request, reply


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


def test_no_redirect_leads_inside(in_own_network, tmp_path):
    """With addresses that are public for once, see netns_fetch.py."""
    in_own_network("netns_fetch.py", tmp_path)


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
    "a part unasked": (reply(b"part", "206 Partial Content", [("Content-Range", "bytes 2-5/9")]), b"",
                       False, "bad answer"),
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


def test_a_body_that_swells_has_a_limit(start_origin, fetch):
    """64 MB, where it is more than two hundred times what came."""
    most = 64 * 1024 * 1024
    sizes = {"/most": most, "/more": most + 1, "/dense": most + 1}
    bodies = {}
    for path, size in sizes.items():
        noise = os.urandom(size // 150) if path == "/dense" else b""
        bodies[path] = coded("gzip", gzip.compress(noise + b"\0" * (size - len(noise)), 1))
    origin = start_origin(answering(lambda request: bodies[request.target]))
    urls = [origin.url + path for path in sizes]
    done = fetch.json("--null", *urls)
    assert [done.end(url) for url in urls] == ["done", "too large", "done"]
    assert done.ends[urls[0]]["bytes"] == most and done.ends[urls[2]]["bytes"] == most + 1


def test_large_windows_stand_in_nobodys_way(start_origin, fetch):
    """Twelve bodies at once, each with the largest window that zstd may have on the web."""
    count = 12
    body = zstd_zeros(0x68, 66)
    all_here = threading.Barrier(count)

    def script(origin, peer):
        read_request(peer)
        answer = coded("zstd", body)
        peer.send(answer[:-4])
        all_here.wait(30)
        peer.send(answer[-4:])

    origin = start_origin(script)
    urls = ["%s/%d" % (origin.url, i) for i in range(count)]
    done = fetch.json("-c", str(count), "--null", *urls)
    assert {done.end(url) for url in urls} == {"done"}


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
