"""For the tests of processes: who is worker, who is master, traffic that goes on meanwhile, answers
that wait until they are told to go on."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import threading
import time

from house import Closed, Message, Peer, ask, process_tree, read_request, read_response, wait_for


def children(pid):
    return [one for one in process_tree(pid) if one != pid]


def status_of(pid, key):
    """A line of /proc/PID/status; None when the process is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
    return None


def is_running(pid):
    state = status_of(pid, "State")
    return state is not None and state[0] not in "ZX"


def workers(pid):
    """Children that serve: a worker has a name of its own from its first moment."""
    return sorted(one for one in children(pid) if (status_of(one, "Name") or "").startswith("worker"))


def wait_for_log(proxy, pattern, count=1, limit_s=30.0):
    return wait_for("'%s' in the log" % pattern,
                    lambda: len(re.findall(pattern, proxy.log())) >= count, limit_s)


def reload(proxy, count=1, limit_s=30.0):
    """HUP, and waits until the `count`th config since the first is in force."""
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for_log(proxy, r"config %d is in force" % (count + 1), limit_s=limit_s)


class Load:
    """Requests on connections of their own, by `threads` threads, until told to stop. `done` has
    (began, seconds, status or None) of each."""

    def __init__(self, proxy, url, threads=4, body=b"ok\n"):
        self.proxy, self.url, self.body = proxy, url, body
        self.done = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for("traffic", lambda: len(self.done) >= 20)
        return self

    def _run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                response = ask(self.proxy, self.url, headers=[("Connection", "close")])
                good = response.is_complete and response.body == self.body
                status = response.status if good else None
            except (Closed, OSError):
                status = None
            self.done.append((began, time.monotonic() - began, status))
            if status is None:
                time.sleep(0.001)  # a proxy that refuses at once is not to be drowned

    def more(self, count=20):
        """Waits for so many more to have ended."""
        before = len(self.done)
        wait_for("more traffic", lambda: len(self.done) >= before + count)

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def failed(self):
        return [one for one in self.done if one[2] != 200]


class Held:
    """The script of an origin: half of the body, then, when told to go on, the rest."""

    def __init__(self, half=b"x" * 300000):
        self.half = half
        self.go_on = threading.Event()

    def __call__(self, origin, peer):
        request = origin.seen(read_request(peer))
        if request.target.endswith("/quick"):
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            return
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(self.half)))
        peer.send(self.half)
        self.go_on.wait(60)
        peer.send(self.half)

    @property
    def body(self):
        return 2 * self.half


class Download:
    """A response that is read up to its first half; finish() reads the rest."""

    def __init__(self, proxy, url, half):
        self.peer = Peer(proxy.connect())
        host = url.split("/")[2]
        self.peer.send(b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (url.encode(), host.encode()))
        self.head = Message(*self.peer.read_head())
        assert self.head.status == 200, self.head.first
        self.half = self.peer.take(half)

    def finish(self):
        """The whole body, as far as it came."""
        left = int(self.head.fields["content-length"]) - len(self.half)
        parts = [self.half]
        with contextlib.suppress(Closed):
            while left:
                parts.append(self.peer.some(left))
                left -= len(parts[-1])
        self.peer.close()
        return b"".join(parts)


class Tunnel:
    """CONNECT to an origin that echoes."""

    def __init__(self, proxy, port):
        self.peer = Peer(proxy.connect())
        self.peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (port, port))
        response = read_response(self.peer, "CONNECT")
        assert response.status == 200, response.first

    def says(self, text):
        self.peer.send(text)
        assert self.peer.take(len(text)) == text

    def close(self):
        self.peer.close()


def echo(_, peer):
    while True:
        peer.send(peer.some(65536))


def refuses(port):
    """Is there nobody who would accept?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return False
    except OSError:
        return True
