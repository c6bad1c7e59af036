"""What made the ancestor hang or die: long hashed URLs, answers without a length, every way in which
an origin can fail. Each is answered as it should be, and the next request is not kept waiting."""
import os
import queue
import random
import signal
import socket
import threading
import time

import pytest
from daemon_house import status_of
from house import (SANITIZED, Closed, Peer, answering, ask, assert_quick, free_port, has_arrived,
                   process_tree, read_request, read_response, reply, wait_for)

QUICK_S = 0.5 if SANITIZED else 0.1
LIMIT_S = 1.5  # of what hangs


def hashed_urls():
    chance = random.Random(8119)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
    yield "/_ylh=X3oDMTEwdnZjMjFhBF9TAzIxNDI3MTg5MjcEdGVzdAMwBHRtcGwDaW5kZXgtY3Nz/s/211570"
    yield "/r/sx/*-http://news.example/;_ylt=A0geu9PYpVBAlVwB8wBXNyoA;_ylu=X3oDMTBiM$dQ|b~c*"
    yield "/caf\u00e9/\u65e5\u672c\u8a9e/\u0440?q=\u00fc&x=a|b"
    yield "/a,b;c=d:e@f!g'h(i)j*k+l$m&n=o/%7Euser/%2F/%zz/100%"
    yield "/?q=[a]{b}|c^d`e\\f'g"
    yield "/;_ylt=" + "".join(chance.choice(letters) for _ in range(8192))
    yield "/" + "/".join("*$|~" + chr(0xe0 + i % 30) for i in range(1500))
    for _ in range(33):
        parts = ["".join(chance.choice(letters + "*$|~;=") for _ in range(chance.randrange(1, 90)))
                 for _ in range(chance.randrange(1, 9))]
        yield "/_ylh=" + "/;_ylt=".join(parts)


def test_hashed_urls_arrive_as_they_were_sent(start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply(request.target.encode("latin-1"))))
    proxy = start_proxy()
    for target in hashed_urls():
        response = ask(proxy, origin.url + target)
        assert response.status == 200, target[:80]
        assert response.body == target.encode("utf-8"), target[:80]
        assert response.seconds < 5  # none of them keeps it busy


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_answer_without_length_ends_by_close(start_proxy, start_origin, version):
    body = bytes(range(256)) * 1000

    def script(origin, peer):
        read_request(peer)
        peer.send(b"HTTP/%s 200 OK\r\nContent-Type: text/plain\r\n\r\n" % version.encode())
        for at in range(0, len(body), 7001):
            peer.send(body[at:at + 7001])
    origin = start_origin(script)
    proxy = start_proxy()
    peer = Peer(proxy.connect())
    for _ in range(3):  # on one connection, as browsers do
        response = ask(proxy, origin.url + "/", peer=peer)
        assert response.status == 200 and response.is_complete and response.body == body
        if response.fields.get("connection") == "close":
            peer.close()
            peer = Peer(proxy.connect())
    peer.close()


def test_answer_without_length_to_an_old_browser_ends_by_close(start_proxy, start_origin):
    def script(origin, peer):
        read_request(peer)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")
    origin = start_origin(script)
    peer = Peer(start_proxy().connect())
    peer.send(("GET %s/ HTTP/1.0\r\n\r\n" % origin.url).encode())
    response = read_response(peer)
    assert "transfer-encoding" not in response.fields
    assert response.body == b"to the end" and response.is_complete


# What the origin does after it has read a request: bytes that it sends, then how it ends.
# want: the status that the browser sees; "abort": 200, and a body that is visibly short.
FAILURES = [
    ("closed before headers", b"", "close", 502),
    ("reset before headers", b"", "reset", 502),
    ("closed inside the first line", b"HTTP/1.1 20", "close", 502),
    ("closed inside headers", b"HTTP/1.1 200 OK\r\nContent-Le", "close", 502),
    ("reset inside headers", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "reset", 502),
    ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", "close", 502),
    ("closed inside a body of known length",
     b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000, "close", "abort"),
    ("reset inside a body of known length",
     b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000, "reset", "abort"),
    ("closed inside a chunk",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nxxxx", "close", "abort"),
    ("closed between chunks",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n", "close", "abort"),
    ("bad chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nxxxxx\r\nzz\r\n",
     "close", "abort"),
    ("reset inside a body without length", b"HTTP/1.1 200 OK\r\n\r\nxxxx", "reset", "abort"),
    ("silent", b"", "hang", 504),
    ("silent inside headers", b"HTTP/1.1 200 OK\r\nContent-Le", "hang", 504),
    ("silent inside a body of known length",
     b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000, "hang", "abort"),
    ("silent inside a chunked body",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n", "hang", "abort"),
]


@pytest.fixture
def house(start_proxy, start_origin):
    """A proxy with short time limits and a good origin beside the bad one."""
    limit = "%dms" % (LIMIT_S * 1000)
    proxy = start_proxy(response_header_timeout=limit, idle_body_timeout=limit, connect_timeout=limit)
    good = start_origin(answering(lambda request: reply(b"good\n")))
    return proxy, good


def assert_serves_others(proxy, good):
    """Another connection is served at once."""
    def serve():
        response = ask(proxy, good.url + "/")
        assert response.status == 200 and response.body == b"good\n"
        return response.seconds
    assert_quick("another connection", QUICK_S, serve)


def is_in_time(seconds):
    """Did something that hangs end at its limit?"""
    return LIMIT_S - 0.05 < seconds < LIMIT_S + 5


def assert_error_page(response, status):
    assert response.status == status and response.is_complete
    assert response.fields["content-type"].startswith("text/html")
    assert len(response.body) > 100


@pytest.mark.parametrize("name,data,end,want", FAILURES, ids=[row[0] for row in FAILURES])
def test_failing_origin(house, start_origin, name, data, end, want):
    proxy, good = house

    def script(origin, peer):
        read_request(peer)
        if data:
            peer.send(data)
        if end == "reset":
            if want == "abort":
                headers_arrived.wait(10)
            peer.reset()
        elif end == "hang":
            peer.rest()  # until the proxy gives up
            given_up.set()
    headers_arrived, given_up = threading.Event(), threading.Event()
    bad = start_origin(script)

    peer = Peer(proxy.connect())
    start = time.monotonic()
    peer.send(("GET %s/x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (bad.url, bad.port)).encode())
    if want == "abort":
        peer.until(b"\r\n\r\n")
        headers_arrived.set()
    if end == "hang":
        assert_serves_others(proxy, good)
        assert not given_up.is_set()  # meanwhile, not afterwards
    if want == "abort":
        peer.sock.settimeout(10)
        body, _ = peer.rest()  # comes to an end
        assert not body.endswith(b"0\r\n\r\n") and len(body) < 100000
    else:
        assert_error_page(read_response(peer), want)
    if end == "hang":
        assert is_in_time(time.monotonic() - start)
    peer.close()
    assert_serves_others(proxy, good)


def test_refused(house):
    proxy, good = house
    response = ask(proxy, "http://127.0.0.1:%d/" % free_port())
    assert_error_page(response, 502)
    assert_serves_others(proxy, good)


def test_no_connection_within_the_limit(house):
    proxy, good = house
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        at = full.getsockname()
        waiting = []
        try:
            for _ in range(4):  # its queue is full: further SYNs are not answered
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(at)
                waiting.append(sock)
            response = ask(proxy, "http://127.0.0.1:%d/" % at[1])
            assert_error_page(response, 504)
            assert is_in_time(response.seconds)
            assert_serves_others(proxy, good)
        finally:
            for sock in waiting:
                sock.close()


def test_name_that_does_not_exist(house, start_names):
    proxy, good = house
    names = start_names({})
    (proxy.directory / "resolv.conf").write_text("nameserver %s\n" % names.at)
    wait_for("question", lambda: ask(proxy, "http://nowhere.test/").status == 502 and names.questions)
    assert_error_page(ask(proxy, "http://nowhere.test/"), 502)
    assert_serves_others(proxy, good)


def test_browser_that_leaves_takes_its_request_along(house, start_origin):
    proxy, good = house
    left = threading.Event()

    def script(origin, peer):
        read_request(peer)
        try:
            while True:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 65536)
        except Closed:
            left.set()
    bad = start_origin(script)
    peer = Peer(proxy.connect())
    peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % bad.url).encode())
    peer.until(b"\r\n\r\n")
    peer.close()
    assert left.wait(30)
    assert_serves_others(proxy, good)


def test_browser_that_leaves_takes_its_tunnel_along(start_proxy, start_origin):
    """Though the origin neither says anything nor closes; one that only finished sending stays."""
    ended = queue.Queue()
    go_on = threading.Event()

    def script(_, peer):
        ended.put((peer, peer.rest()))
        assert go_on.wait(60)
        peer.send(b"answer")
    origin = start_origin(script)
    proxy = start_proxy(workers=1)
    tunnels = []
    for question in b"\0stays", b"\x16leaves":
        tunnel = Peer(proxy.connect())
        tunnel.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port + question)
        assert b" 200 " in tunnel.until(b"\r\n\r\n")
        tunnels.append(tunnel)
    tunnels[0].sock.shutdown(socket.SHUT_WR)
    stays, got = ended.get(timeout=10)
    assert got == (b"\0stays", True)
    tunnels[1].sock.close()
    leaves, got = ended.get(timeout=10)
    assert got == (b"\x16leaves", True)

    def is_closed(peer):
        return peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07"
    begun = time.monotonic()
    wait_for("end of the tunnel", lambda: is_closed(leaves), 20)
    while time.monotonic() < begun + 12:  # it has answered more probes than it takes to be lost
        assert not is_closed(stays)
        time.sleep(0.1)
    go_on.set()
    assert tunnels[0].rest() == (b"answer", True)
    tunnels[0].close()


def test_request_is_tried_again_when_a_kept_connection_turns_out_dead(start_proxy, start_origin):
    """The origin closes its kept connection as the next request arrives: a GET is sent once more."""
    def script(origin, peer):
        request = origin.seen(read_request(peer))
        peer.send(reply(b"first on %d\n" % peer.number))
        request = origin.seen(read_request(peer))
        assert request
        peer.reset()
    origin = start_origin(script)
    proxy = start_proxy()
    assert ask(proxy, origin.url + "/1").body == b"first on 1\n"
    response = ask(proxy, origin.url + "/2")
    assert response.status == 200 and response.body == b"first on 2\n"
    assert [request.target for request in origin.requests] == ["/1", "/2", "/2"]


def test_post_is_not_sent_twice(start_proxy, start_origin):
    def script(origin, peer):
        origin.seen(read_request(peer))
        peer.send(reply(b"first\n"))
        origin.seen(read_request(peer))
        peer.reset()
    origin = start_origin(script)
    proxy = start_proxy()
    assert ask(proxy, origin.url + "/1").status == 200
    assert ask(proxy, origin.url + "/2", "POST", body=b"once").status in (200, 502)
    posts = [request for request in origin.requests if request.target == "/2"]
    assert len(posts) == 1


@pytest.mark.parametrize("login", [[], [("Authorization", "NTLM abc")]], ids=["pooled", "bound"])
def test_post_goes_on_no_connection_that_has_just_ended(start_proxy, start_origin, login):
    """The end of the kept connection and the request are there at the same time."""
    def script(origin, peer):
        while True:
            origin.seen(read_request(peer))
            peer.send(reply(b"on %d\n" % peer.number))
    origin = start_origin(script)
    proxy = start_proxy(workers=1)
    processes = process_tree(proxy.pid)
    for number in range(1, 12, 2):
        browser = Peer(proxy.connect())
        assert ask(proxy, origin.url + "/", headers=login, peer=browser).body == b"on %d\n" % number
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        for pid in processes:
            wait_for("stop", lambda one=pid: status_of(one, "State").startswith("T"))
        kept = origin.peers[-1]
        if number % 4 == 1:
            kept.sock.shutdown(socket.SHUT_WR)
        browser.send(("POST %s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nonce"
                      % origin.url).encode())
        if number % 4 == 3:
            kept.sock.shutdown(socket.SHUT_WR)
        wait_for("both there", lambda: has_arrived(browser.sock) and has_arrived(kept.sock))
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        response = read_response(browser)
        assert (response.status, response.body) == (200, b"on %d\n" % (number + 1))
        browser.close()
        origin.peers[-1].close()  # the next round has one of its own
        wait_for("end", lambda: not origin.open)
