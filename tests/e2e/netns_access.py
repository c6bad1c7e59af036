"""netns_access.py DIRECTORY - in a network namespace of its own, where this machine has an address
that is not loopback: who is served from there, how many connections one client may have, and that
no way leads back to the proxy itself. Exit code 77 when such a network cannot be made here."""
import contextlib
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from house import REPORT, Origin, Peer, Proxy, answering, ask, free_port, reply  # noqa: E402

HERE, THERE, HERE6 = "10.9.9.1", "10.9.9.2", "fd09::1"


def connect(proxy, address):
    return socket.create_connection((address, proxy.port), timeout=30, source_address=(address, 0))


def fetch(proxy, url, client=HERE, headers=()):
    peer = Peer(connect(proxy, client))
    with contextlib.closing(peer):
        return ask(proxy, url, peer=peer, headers=headers)


class Running:
    def __init__(self, directory, number=[0], **options):
        number[0] += 1
        port = free_port("0.0.0.0")
        options.setdefault("listen", ["0.0.0.0:%d" % port, "[::]:%d" % port])
        self.proxy = Proxy(os.path.join(directory, "proxy%d" % number[0]), **options)
        (self.proxy.directory / "hosts").write_text(
            "%s rebound.example\n%s ok.corp.example\n%s nas.lan\n" % (HERE, HERE, HERE))

    def __enter__(self):
        return self.proxy.start()

    def __exit__(self, kind, *_):
        code = self.proxy.stop()
        log = self.proxy.log()
        if kind or code or REPORT.search(log):
            print(log)
        assert kind or (code == 0 and not REPORT.search(log))


def clients(directory, origin):
    url = "http://%s:%d/" % (HERE, origin.port)
    with Running(directory, allow=["10.9.9.2"]) as proxy:
        refused = fetch(proxy, url)
        assert refused.status == 403 and b'allow += {&quot;10.9.9.1&quot;}' in refused.body
        assert fetch(proxy, "http://dejunk/").status == 403
        assert origin.accepted == 0
        assert fetch(proxy, url, THERE).body == b"in\n"
        assert ask(proxy, url).body == b"in\n"  # loopback
        refused = fetch(proxy, url, HERE6)
        assert refused.status == 403 and b'allow += {&quot;fd09::1&quot;}' in refused.body


def connections(directory, origin):
    url = "http://%s:%d/" % (HERE, origin.port)
    with Running(directory, allow=["10.9.9.0/24"], client_connections=3) as proxy:
        peers = [Peer(connect(proxy, HERE)) for _ in range(3)]
        for peer in peers:
            assert ask(proxy, url, peer=peer).status == 200
        with contextlib.suppress(ConnectionResetError):  # it may come that quickly
            surplus = Peer(connect(proxy, HERE))
            assert surplus.rest()[0] == b""
            surplus.close()
        assert fetch(proxy, url, THERE).status == 200  # others are not concerned
        local = [Peer(proxy.connect()) for _ in range(5)]  # and loopback is exempt
        for peer in local:
            assert ask(proxy, url, peer=peer).status == 200
        peers.pop().close()
        for _ in range(1000):  # until its end was seen
            with contextlib.suppress(Exception):
                if fetch(proxy, url).status == 200:
                    break
        else:
            raise AssertionError("its place was not given back")
        assert "client_connections" in proxy.log()
        for peer in peers + local:
            peer.close()


def destinations(directory, origin):
    with Running(directory, allow=["10.9.9.0/24"], private_names=["*.corp.example"],
                 via=False, allow_destinations=["0.0.0.0/0", "::/0"]) as proxy:
        for host in HERE, "[%s]" % HERE6, THERE, "127.0.0.1", "[::1]", "nas.lan", "0.0.0.0":
            answer = fetch(proxy, "http://%s:%d/" % (host, proxy.port))
            assert answer.status == 403 and b"is this proxy itself" in answer.body, host
        peer = Peer(connect(proxy, HERE))
        peer.send(b"CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\n" % (THERE.encode(), proxy.port))
        assert b" 403 " in peer.until(b"\r\n")
        peer.close()
    with Running(directory, allow=["10.9.9.0/24"], private_names=["*.corp.example"],
                 allow_destinations=None) as proxy:
        proxy_url = "http://%%s:%d/" % origin.port
        for host in HERE, "nas.lan", "ok.corp.example":
            assert fetch(proxy, proxy_url % host).status == 200, host
        answer = fetch(proxy, proxy_url % "rebound.example")
        assert answer.status == 403
        assert b'private_names += {&quot;rebound.example&quot;}' in answer.body


def main():
    directory = sys.argv[1]
    try:
        for words in (["link", "set", "lo", "up"], ["addr", "add", HERE + "/32", "dev", "lo"],
                      ["addr", "add", THERE + "/32", "dev", "lo"],
                      ["addr", "add", HERE6 + "/128", "dev", "lo", "nodad"]):
            subprocess.run(["ip"] + words, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(error)
        sys.exit(77)
    for scene in clients, connections, destinations:
        origin = Origin(answering(lambda request: reply(b"in\n")), address="0.0.0.0")
        scene(directory, origin)
        origin.stop()


main()
