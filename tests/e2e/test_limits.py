"""Limits of numbers: descriptors, connections to all origins together, idle connections kept."""
import os
import resource
import socket
import threading
import time

import pytest
from house import (SANITIZED, Closed, Peer, answering, ask, process_tree, read_request,
                   read_response, reply, wait_for)


def cpu_seconds(pid):
    ticks = 0
    for one in process_tree(pid):
        with open("/proc/%d/stat" % one, encoding="latin-1") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# ---- descriptors ----------------------------------------------------------------------------------

def worker_of(proxy):
    """The process that has the connections: the one with the most sockets."""
    def sockets(pid):
        try:
            return sum(os.readlink("/proc/%d/fd/%s" % (pid, fd)).startswith("socket:")
                       for fd in os.listdir("/proc/%d/fd" % pid))
        except OSError:
            return 0
    held = [proxy.connect() for _ in range(8)]
    wait_for("accepted connections", lambda: max(map(sockets, process_tree(proxy.pid))) >= 8)
    worker = max(process_tree(proxy.pid), key=sockets)
    for sock in held:
        sock.close()
    return worker


def limit_descriptors(pid, number):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, number))


def test_at_the_descriptor_limit_idle_connections_go_first(start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply(b"in\n")))
    proxy = start_proxy(workers=1)
    limit_descriptors(worker_of(proxy), 60)
    idle = []
    for _ in range(100):  # each is served, at the cost of the oldest
        idle.append(Peer(proxy.connect()))
        assert ask(proxy, origin.url + "/", peer=idle[-1]).body == b"in\n"
    gone = 0
    for peer in idle:
        peer.sock.settimeout(0.02)
        try:
            peer.some(1)
        except Closed as closed:
            gone += "timed out" not in str(closed)
        peer.close()
    assert 40 <= gone < 100


def test_at_the_descriptor_limit_the_way_out_counts_as_well(start_proxy, start_origin):
    """The last descriptor went to a browser: one for its origin is made free, too."""
    origin = start_origin(answering(lambda request: reply(b"in\n", headers=[("Connection", "close")])))
    proxy = start_proxy(workers=1)
    limit_descriptors(worker_of(proxy), 60)
    idle = []
    for _ in range(100):
        idle.append(Peer(proxy.connect()))
        assert ask(proxy, origin.url + "/", peer=idle[-1]).status == 200
    for peer in idle:
        peer.close()


def test_at_the_descriptor_limit_it_waits_without_spinning(start_proxy, start_origin):
    """All connections are busy: none can be closed, so those that come wait in the kernel."""
    origin = start_origin(lambda origin, peer: peer.rest())
    proxy = start_proxy(workers=1)
    limit_descriptors(worker_of(proxy), 60)
    tunnels = []
    for _ in range(40):
        peer = Peer(proxy.connect())
        peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port)
        tunnels.append(peer)
    served, waiting = [], []
    for peer in tunnels:
        peer.sock.settimeout(0.02 if waiting else 2)
        try:
            (served if b" 200 " in peer.until(b"\r\n\r\n") else waiting).append(peer)
        except Closed:
            waiting.append(peer)
    assert len(served) >= 10 and waiting
    # Each tunnel takes two: one that does not end its request takes the odd one, if there is any.
    odd = Peer(proxy.connect())
    odd.send(b"GET / HTTP/1.1\r\n")
    before, begun = cpu_seconds(proxy.pid), time.monotonic()
    late = Peer(proxy.connect())
    late.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % proxy.port)
    late.sock.settimeout(2)
    try:
        late.some(1)
        raise AssertionError("there was a descriptor left")
    except Closed:
        pass
    spent = (cpu_seconds(proxy.pid) - before) / (time.monotonic() - begun)
    assert spent < (0.5 if SANITIZED else 0.2), "%d %% of a processor" % (100 * spent)
    for peer in served + waiting + [odd]:
        peer.close()
    late.sock.settimeout(10)
    assert read_response(late).status == 200
    late.close()


# ---- what the kernel holds ------------------------------------------------------------------------

def kernel_limit(name):
    with open("/proc/sys/net/" + name) as file:
        return int(file.read().split()[-1])


@pytest.mark.parametrize("way", ["body", "tunnel"])
def test_what_is_not_read_is_not_taken_in_without_end(start_proxy, start_origin, way):
    """The browser reads fast, so that buffers grow, and then no more."""
    read, pushed, is_read, blocked = 64 << 20, [0], threading.Event(), threading.Event()

    def script(_, peer):
        read_request(peer)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        peer.sock.settimeout(1.0)
        while pushed[0] < 1000000000 and not blocked.is_set():
            was_read = is_read.is_set()
            try:
                pushed[0] += peer.sock.send(bytes(1 << 18))
            except socket.timeout:  # nothing was taken for a second
                if was_read:
                    blocked.set()
        peer.sock.settimeout(30)
        peer.rest()
    origin = start_origin(script)
    proxy = start_proxy(workers=1)
    peer = Peer(socket.socket())
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # the browser's own
    peer.sock.settimeout(30)
    peer.sock.connect(("127.0.0.1", proxy.port))
    if way == "tunnel":
        peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n\0" % origin.port)
        peer.until(b"\r\n\r\n")
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    else:
        peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
    got = 0
    while got < read:
        got += len(peer.some(1 << 20))
    is_read.set()
    assert blocked.wait(30)
    # what two senders may hold, the proxy's receive buffer, the browser's own, and bytes on the way
    bound = 2 * kernel_limit("ipv4/tcp_wmem") + (4 << 20) + (2 << 20)
    if kernel_limit("core/rmem_max") < 2 << 20:
        bound += kernel_limit("ipv4/tcp_rmem")  # no buffer can be set so large: the kernel's limit
    assert pushed[0] - read < bound, "%d MB" % ((pushed[0] - read) >> 20)
    peer.reset()


# ---- idle connections to origins ------------------------------------------------------------------

def open_at(origin):
    with origin.lock:
        return len(origin.open)


def at_once(proxy, origins, number):
    """Connections that are all in use at the same time, then all idle."""
    peers = [(Peer(proxy.connect()), origin) for origin in origins for _ in range(number)]
    for peer, origin in peers:
        peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
    for _, origin in peers:
        wait_for("requests", lambda origin=origin: len(origin.requests) >= number)
    for origin in origins:
        origin.go_on.set()
    for peer, _ in peers:
        assert read_response(peer).status == 200
        peer.close()


def held_origin(start_origin):
    go_on = threading.Event()

    def script(origin, peer):
        while True:
            origin.seen(read_request(peer))
            assert go_on.wait(30)
            peer.send(reply(b"done\n"))
    origin = start_origin(script)
    origin.go_on = go_on
    return origin


def test_no_more_idle_connections_of_an_origin_are_kept(start_proxy, start_origin):
    proxy = start_proxy(workers=1, idle_per_origin=2, connections_per_origin=10)
    origin = held_origin(start_origin)
    at_once(proxy, [origin], 6)
    wait_for("closing of what is too much", lambda: open_at(origin) == 2)
    accepted = origin.accepted
    assert ask(proxy, origin.url + "/").status == 200
    assert (origin.accepted, open_at(origin)) == (accepted, 2)


def test_no_more_idle_connections_in_all_are_kept(start_proxy, start_origin):
    proxy = start_proxy(workers=1, idle_total=3)
    first, second = held_origin(start_origin), held_origin(start_origin)
    at_once(proxy, [first], 2)
    at_once(proxy, [second], 2)
    wait_for("closing of the oldest", lambda: open_at(first) + open_at(second) == 3)
    assert open_at(second) == 2


def test_none_is_kept_where_none_may_be(start_proxy, start_origin):
    proxy = start_proxy(workers=1, idle_total=0)
    origin = start_origin(answering(lambda request: reply(b"done\n")))
    for number in range(3):
        assert ask(proxy, origin.url + "/").status == 200
        wait_for("close", lambda: open_at(origin) == 0)
        assert origin.accepted == number + 1


def test_idle_connections_are_kept_for_a_time(start_proxy, start_origin):
    proxy = start_proxy(workers=1, pool_idle_timeout="300ms")
    origin = start_origin(answering(lambda request: reply(b"done\n")))
    begun = time.monotonic()
    assert ask(proxy, origin.url + "/").status == 200
    wait_for("close", lambda: open_at(origin) == 0)
    assert 0.28 <= time.monotonic() - begun < 10
    assert ask(proxy, origin.url + "/").status == 200 and origin.accepted == 2


# ---- all connections together ---------------------------------------------------------------------

def test_no_more_connections_in_all_are_opened(start_proxy, start_origin):
    """In order of arrival, whatever their origin; an idle one of another origin makes room."""
    proxy = start_proxy(workers=1, connections_total=2)
    origins = [held_origin(start_origin) for _ in range(4)]
    peers = []
    for origin in origins:
        peer = Peer(proxy.connect())
        peer.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
        wait_for("request read", lambda peer=peer: proxy.has_read(peer.sock))
        peers.append(peer)
    wait_for("two requests", lambda: all(origin.requests for origin in origins[:2]))
    assert ask(proxy, "http://dejunk/").status == 200  # our own pages are not among them
    assert [origin.accepted for origin in origins] == [1, 1, 0, 0]
    for number, origin in enumerate(origins):
        origin.go_on.set()
        assert read_response(peers[number]).status == 200
        if number < 2:
            wait_for("the next", lambda number=number: origins[number + 2].requests)
            # The one that made room may still be on its way out at its origin's end.
            wait_for("two at most", lambda: sum(open_at(one) for one in origins) <= 2)
    for peer in peers:
        peer.close()


def test_the_last_place_is_not_kept_by_an_idle_connection(start_proxy, start_origin):
    """Also when there is an older idle one which holds no place: to our own pages."""
    proxy = start_proxy(workers=1, connections_total=1)
    origins = [start_origin(answering(lambda request: reply(b"done\n"))) for _ in range(3)]
    peers = [Peer(proxy.connect()) for _ in range(4)]
    for peer in peers:  # so many are idle at the same time
        peer.send(b"GET http://dejunk/ HTTP/1.1\r\nHost: dejunk\r\n\r\n")
    for peer in peers:
        assert read_response(peer).status == 200
        peer.close()
    for origin in origins:
        assert ask(proxy, origin.url + "/").status == 200


def test_a_tunnel_in_line_has_its_turn(start_proxy, start_origin):
    """It does not take the connection that becomes idle, but needs that one's place."""
    proxy = start_proxy(workers=1, connections_per_origin=1)
    origin = held_origin(start_origin)
    first, second, third = [Peer(proxy.connect()) for _ in range(3)]
    get = ("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode()
    first.send(get)
    wait_for("request", lambda: origin.requests)
    second.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port)
    wait_for("claim", lambda: proxy.has_read(second.sock))
    third.send(get)
    wait_for("claim", lambda: proxy.has_read(third.sock))
    origin.go_on.set()
    assert read_response(first).status == 200
    assert b" 200 " in second.until(b"\r\n\r\n")
    second.close()  # its place in turn
    assert read_response(third).status == 200
    for peer in (first, third):
        peer.close()


def test_a_claim_waits_no_longer_than_for_an_answer(start_proxy, start_origin):
    proxy = start_proxy(workers=1, connections_per_origin=1, response_header_timeout="700ms")
    origin = held_origin(start_origin)
    first = Peer(proxy.connect())
    first.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
    wait_for("request", lambda: origin.requests)
    origin.requests.clear()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as sock:
        second = Peer(sock)
        second.send(("GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.url).encode())
        assert read_response(first).status == 504
        status = read_response(second)
        assert status.status in (503, 504)
    origin.go_on.set()
    first.close()
