"""What comes through the proxy is what there is without it: 10,000 mixed requests by curl, one
gigabyte down and up in bounded memory, streams without delay."""
import gzip
import hashlib
import os
import random
import socket
import subprocess
import threading
import time

import pytest
from house import (SANITIZED, Growth, Peer, answering, ask, assert_quick, free_port, read_request,
                   read_response, reply, wait_for)

REQUESTS = int(os.environ.get("DEJUNK_REQUESTS", "1000" if SANITIZED else "10000"))
GIGABYTE = 1 << 30
GROWTH_BYTES = 8 << 20
# These speak of one connection or of one moment; the rest of a header must be the same.
NOT_COMPARED = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "via", "date")


def echo(request):
    """What arrived, told back: so that requests are compared as well as responses."""
    told = "%s %s %s %s\n" % (request.first.split(" ")[0], request.target,
                              request.fields.get("content-type", "-"),
                              hashlib.sha256(request.body).hexdigest())
    if request.first.startswith("HEAD"):
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(told)
    if request.target.endswith("chunked"):
        body = told.encode()
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n"
                b"0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body))
    return reply(told.encode())


SIZES = [0, 1, 2, 100, 1000, 1459, 4096, 16384, 65535, 65536, 65537, 200000]


def fill(www):
    chance = random.Random(1)
    for size in SIZES:
        (www / ("%d.bin" % size)).write_bytes(chance.randbytes(size))
    words = [b"%d some text that packs well" % i for i in range(3000)]
    (www / "page.html").write_bytes(b"<p>\n".join(words))
    (www / "packed.gz").write_bytes(gzip.compress(b"\n".join(words), mtime=0))


def mixed_requests(nginx, echoes, count, post_path):
    """Each a list of curl's options; the URL is the last."""
    chance = random.Random(2)
    files = ["%d.bin" % size for size in SIZES]
    small = files[:8]
    for number in range(count):
        kind = number % 20
        name = chance.choice(files if kind < 3 else small)
        url = "%s/%s?n=%d" % (nginx.url, name, number)
        told = "%s/%d" % (echoes.url, number)
        if kind < 5:
            yield [url]
        elif kind == 5:
            yield ["head", url]
        elif kind == 6:
            start = chance.randrange(300)
            yield ["range = %d-%d" % (start, start + chance.randrange(2000)), url]
        elif kind == 7:
            yield ["range = -%d" % chance.randrange(1, 500), url]
        elif kind == 8:
            yield ["range = 900000000-", url]  # 416
        elif kind == 9:
            yield [nginx.url + "/204"]
        elif kind == 10:
            yield ['header = "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"', url]  # not exact
        elif kind == 11:
            yield ['header = "If-None-Match: *"', url]  # 304
        elif kind == 12:
            yield [nginx.url + "/chunked/page.html?n=%d" % number]
        elif kind == 13:
            yield ['header = "Accept-Encoding: gzip"', nginx.url + "/gz/page.html?n=%d" % number]
        elif kind == 14:
            yield [nginx.url + chance.choice(["/packed.gz", "/301", "/403", "/404", "/many-headers"])]
        elif kind == 15:
            yield ["http1.0", url]
        elif kind == 16:
            yield ['data = "n=%d"' % number, told]
        elif kind == 17:
            yield ['request = "%s"' % chance.choice(["PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]),
                   'data-binary = "@%s"' % post_path, 'header = "Content-Type: a/b"', told]
        elif kind == 18:
            yield ['header = "Transfer-Encoding: chunked"', 'data-binary = "@%s"' % post_path,
                   told + "/chunked"]
        else:
            yield [told + "/chunked"]


def curl(directory, requests, proxy=None, parallel=1):
    """Makes all requests with one curl; for each one what came: status, header, hash of the body."""
    directory.mkdir()
    blocks = []
    for number, (*options, url) in enumerate(requests):
        blocks.append("\n".join(options + [
            'url = "%s"' % url, 'output = "%s/%d"' % (directory, number),
            'dump-header = "%s/%d.head"' % (directory, number)] + (
                ['proxy = "%s"' % proxy.url] if proxy else ['noproxy = "*"'])))
    (directory / "config").write_text("\nnext\n".join(blocks) + "\n")
    command = ["curl", "-q", "-s", "--globoff", "-K", str(directory / "config")]
    if parallel > 1:
        command += ["--parallel", "--parallel-immediate", "--parallel-max", str(parallel)]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, env=env, check=False)
    assert done.returncode == 0, done.stdout
    came = []
    for number, (*options, _) in enumerate(requests):
        head = (directory / ("%d.head" % number)).read_bytes().decode("latin-1")
        # 1xx come before it and trailers behind it, each with an end of its own
        last = [part for part in head.split("\r\n\r\n") if part.startswith("HTTP/")][-1]
        last = last.split("\r\n")
        fields = sorted((name.lower(), value) for name, _, value in
                        (line.partition(":") for line in last[1:]) if name.lower() not in NOT_COMPARED)
        path = directory / str(number)
        body = path.read_bytes() if path.exists() and "head" not in options else b""
        came.append((last[0].split(" ")[1], fields, hashlib.sha256(body).hexdigest()))
    return came


def test_mixed_requests_are_as_without_proxy(tmp_path, start_proxy, start_nginx, start_origin):
    nginx = start_nginx()
    fill(nginx.www)
    echoes = start_origin(answering(echo))
    post = tmp_path / "post"
    post.write_bytes(random.Random(3).randbytes(30000))
    requests = list(mixed_requests(nginx, echoes, REQUESTS, post))
    direct = curl(tmp_path / "direct", requests, parallel=16)
    assert {row[0] for row in direct} == {"200", "204", "206", "301", "304", "403", "404", "416"}
    proxy = start_proxy()
    for connections in (1, 64):
        through = curl(tmp_path / ("through%d" % connections), requests, proxy, connections)
        for number, (want, got) in enumerate(zip(direct, through)):
            assert got == want, (connections, requests[number])
    assert len(direct) == REQUESTS


def test_a_gigabyte_down_in_bounded_memory(tmp_path, start_proxy, start_nginx):
    nginx = start_nginx()
    path = nginx.www / "giga.bin"
    with open(path, "wb") as file:
        file.truncate(GIGABYTE)
        for at in range(0, GIGABYTE, 1 << 24):  # not all zeros: order counts
            file.seek(at)
            file.write(b"%d" % at)
    size = GIGABYTE // 8 if SANITIZED else GIGABYTE
    os.truncate(path, size)
    proxy = start_proxy()
    ask(proxy, nginx.url + "/404")
    with Growth(proxy.pid) as growth:
        peer = Peer(proxy.connect())
        peer.send(("GET %s/giga.bin HTTP/1.1\r\nHost: x\r\n\r\n" % nginx.url).encode())
        head = read_head_only(peer)
        assert int(head["content-length"]) == size
        got = hash_of_bytes(peer, size)
        peer.close()
    with open(path, "rb") as file:
        assert got == hashlib.file_digest(file, "sha256").hexdigest()
    assert SANITIZED or growth.bytes < GROWTH_BYTES, growth.bytes


def read_head_only(peer):
    _, fields, _ = peer.read_head()
    return fields


def hash_of_bytes(peer, size):
    digest = hashlib.sha256(peer.held[:size])
    left = size - len(peer.held)
    peer.held = b""
    room = bytearray(1 << 20)
    view = memoryview(room)
    while left:
        got = peer.sock.recv_into(view, min(left, len(room)))
        assert got, "%d bytes short" % left
        digest.update(view[:got])
        left -= got
    return digest.hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gigabyte_up_in_bounded_memory(start_proxy, start_origin, framing):
    size = GIGABYTE // (8 if SANITIZED or framing == "chunked" else 1)

    def script(origin, peer):
        fields = read_head_only(peer)
        if framing == "length":
            assert int(fields["content-length"]) == size
            digest = hash_of_bytes(peer, size)
        else:
            hasher = hashlib.sha256()
            for chunk in peer.chunks():
                hasher.update(chunk)
            digest = hasher.hexdigest()
        peer.send(reply(digest.encode()))
    origin = start_origin(script)
    proxy = start_proxy()
    block = random.Random(4).randbytes(1 << 20)
    assert ask(proxy, "http://127.0.0.1:%d/" % free_port()).status == 502
    with Growth(proxy.pid) as growth:
        peer = Peer(proxy.connect(120))
        framed = "Content-Length: %d" % size if framing == "length" else "Transfer-Encoding: chunked"
        peer.send(("POST %s/ HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (origin.url, framed)).encode())
        digest = hashlib.sha256()
        for _ in range(size // len(block)):
            if framing == "length":
                peer.send(block)
            else:
                peer.send(b"%x\r\n%s\r\n" % (len(block), block))
            digest.update(block)
        if framing == "chunked":
            peer.send(b"0\r\n\r\n")
        response = read_response(peer)
        peer.close()
    assert response.body.decode() == digest.hexdigest()
    assert SANITIZED or growth.bytes < GROWTH_BYTES, growth.bytes


def test_a_gigabyte_through_a_tunnel_in_bounded_memory(start_proxy, start_origin):
    size = GIGABYTE // 8 if SANITIZED else GIGABYTE
    block = bytes(range(256)) * 4096

    def script(origin, peer):
        assert peer.take(5) == b"\x16hey\n"  # no first line of HTTP
        for _ in range(size // len(block)):
            peer.send(block)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.take(3) == b"bye"  # the other direction is still open
    origin = start_origin(script)
    proxy = start_proxy()
    with Growth(proxy.pid) as growth:
        peer = Peer(proxy.connect())
        peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n\x16hey\n" % origin.port)
        assert read_response(peer, "CONNECT").status == 200
        want = hashlib.sha256()
        for _ in range(size // len(block)):
            want.update(block)
        assert hash_of_bytes(peer, size) == want.hexdigest()
        assert peer.sock.recv(1) == b""
        peer.send(b"bye")
        peer.close()
    assert SANITIZED or growth.bytes < GROWTH_BYTES, growth.bytes


def test_reader_that_stops_holds_up_nobody_and_no_memory(start_proxy, start_origin):
    """Back-pressure: what a browser does not read, the origin cannot go on to send."""
    sent = [0]

    def script(origin, peer):
        read_request(peer)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
        while sent[0] < GIGABYTE:
            peer.send(b"x" * 65536)
            sent[0] += 65536
    origin = start_origin(script)
    quick = start_origin(answering(lambda request: reply()))
    proxy = start_proxy()
    ask(proxy, quick.url + "/")
    with Growth(proxy.pid) as growth:
        peers = []
        for _ in range(20):
            peer = Peer(proxy.connect())
            peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
            peer.until(b"\r\n\r\n")
            peers.append(peer)
        last, since = sent[0], time.monotonic()

        def stands_still():
            nonlocal last, since
            if sent[0] != last:
                last, since = sent[0], time.monotonic()
            return time.monotonic() - since > 0.5
        wait_for("end of sending", stands_still, 30)
        assert_quick("another request", 1, lambda: ask(proxy, quick.url + "/").seconds)
    for peer in peers:
        peer.close()
    assert SANITIZED or growth.bytes < GROWTH_BYTES, growth.bytes


def test_stream_comes_as_it_is_sent(start_proxy, start_origin):
    """Each event of a stream is with the browser before the origin sends the next."""
    go_on = threading.Semaphore(0)

    def script(origin, peer):
        read_request(peer)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            event = b"data: %d\n\n" % number
            peer.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert go_on.acquire(timeout=30)
        peer.send(b"0\r\n\r\n")
    origin = start_origin(script)
    peer = Peer(start_proxy().connect())
    peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
    read_head_only(peer)
    times = [time.monotonic()]
    for number, chunk in enumerate(peer.chunks()):
        assert chunk == b"data: %d\n\n" % number
        times.append(time.monotonic())
        go_on.release()
    took = sorted(later - earlier for earlier, later in zip(times, times[1:]))
    assert len(took) == 20 and took[10] < 0.1, took
    peer.close()


def test_continue_is_passed_end_to_end(start_proxy, start_origin):
    asked = threading.Event()

    def script(origin, peer):
        fields = read_head_only(peer)
        assert fields["expect"] == "100-continue"
        asked.set()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.send(reply(peer.take(4)))
    origin = start_origin(script)
    peer = Peer(start_proxy().connect())
    peer.send(("PUT %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
               % origin.url).encode())
    assert asked.wait(30)  # the header has arrived though no byte of the body was sent
    assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    peer.send(b"body")
    assert read_response(peer).body == b"body"
    peer.close()


def test_pipelined_requests_are_answered_in_order(start_proxy, start_origin):
    first = threading.Event()

    def slow(request):
        first.wait(30)
        return reply(b"slow " + request.target.encode())
    origins = [start_origin(answering(slow)),
               start_origin(answering(lambda request: reply(b"quick " + request.target.encode())))]
    peer = Peer(start_proxy().connect())
    peer.send(b"".join(b"GET %s/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (
        origins[number % 2].url.encode(), number) for number in range(10)))
    first.set()
    for number in range(10):
        assert read_response(peer).body == b"%s /%d" % ((b"slow", b"quick")[number % 2], number)
    peer.close()
