"""The outgoing side seen from outside: gates, connections that belong to one browser, name servers
that change, addresses raced."""
import os
import queue
import threading
import time

import pytest
from house import Peer, answering, ask, assert_quick, read_request, read_response, reply, wait_for


class SlowOrigin:
    """Answers a request when it is told to; says in which order they came."""

    def __init__(self, start_origin, closes):
        self.closes = closes
        self.arrivals = queue.Queue()
        self.origin = start_origin(self.script)

    def script(self, origin, peer):
        while True:
            request = origin.seen(read_request(peer))
            go_on = threading.Event()
            self.arrivals.put((int(request.target.rpartition("/")[2]), go_on))
            assert go_on.wait(30)
            if self.closes:
                origin.let_go(peer)
                peer.send(reply(b"done\n", headers=[("Connection", "close")]))
                return
            peer.send(reply(b"done\n"))


@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closed"])
@pytest.mark.parametrize("gives_up", [None, 7], ids=["all-stay", "one-gives-up"])
def test_gate(start_proxy, start_origin, closes, gives_up):
    slow = SlowOrigin(start_origin, closes)
    proxy = start_proxy(workers=1, connections_per_origin=2)
    browsers = []
    for number in range(20):
        peer = Peer(proxy.connect())
        peer.send(("GET %s/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (slow.origin.url, number)).encode())
        wait_for("request read", lambda peer=peer: proxy.has_read(peer.sock))
        browsers.append(peer)
    waiting = [slow.arrivals.get(timeout=10), slow.arrivals.get(timeout=10)]
    assert sorted(number for number, _ in waiting) == [0, 1]
    waiting.sort(key=lambda one: one[0])
    if gives_up is not None:
        port = browsers[gives_up].sock.getsockname()[1]
        browsers[gives_up].close()
        wait_for("browser's leaving seen", lambda: proxy.has_closed(port))
    served = []
    while len(served) < (20 if gives_up is None else 19):
        number, go_on = waiting.pop(0)
        assert slow.arrivals.empty()  # nobody else is let in
        go_on.set()
        response = read_response(browsers[number])
        assert response.status == 200
        served.append(number)
        if len(served) + len(waiting) < (20 if gives_up is None else 19):
            waiting.append(slow.arrivals.get(timeout=10))
    assert served == [number for number in range(20) if number != gives_up]
    assert slow.origin.most_open <= 2
    for peer in browsers:
        peer.close()


def test_gates_of_origins_are_their_own(start_proxy, start_origin):
    slow = SlowOrigin(start_origin, False)
    quick = start_origin(answering(lambda request: reply(b"quick\n")))
    proxy = start_proxy(workers=1, connections_per_origin=1)
    peers = [Peer(proxy.connect()) for _ in range(3)]
    for number, peer in enumerate(peers):
        peer.send(("GET %s/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (slow.origin.url, number)).encode())
    assert ask(proxy, quick.url + "/").body == b"quick\n"
    for _ in peers:
        slow.arrivals.get(timeout=10)[1].set()
    for peer in peers:
        assert read_response(peer).status == 200
        peer.close()


# ---- NTLM: who a connection is for is settled once, by a handshake on it -------------------------

def ntlm_script(origin, peer):
    user, offered = None, False
    while True:
        request = origin.seen(read_request(peer))
        words = request.fields.get("authorization", "").split()
        if user is None and words[:1] == ["NTLM"]:
            kind, _, name = words[1].partition(":")
            if kind == "negotiate":
                offered = True
                peer.send(reply(b"", "401 Unauthorized", [("WWW-Authenticate", "NTLM challenge")]))
                continue
            if kind == "authenticate" and offered:
                user = name
        if user is None:
            peer.send(reply(b"", "401 Unauthorized", [("WWW-Authenticate", "NTLM")]))
        else:
            peer.send(reply(("%s on %d" % (user, peer.number)).encode()))


def ntlm_log_in(proxy, url, name):
    peer = Peer(proxy.connect())
    for kind, want in (("", 401), ("negotiate", 401), ("authenticate", 200)):
        headers = [("Authorization", "NTLM %s:%s" % (kind, name))] if kind else []
        response = ask(proxy, url, headers=headers, peer=peer)
        assert response.status == want
    return peer, response.body


def test_users_never_share_a_connection_that_knows_one_of_them(start_proxy, start_origin):
    origin = start_origin(ntlm_script)
    proxy = start_proxy()
    ann, ann_is = ntlm_log_in(proxy, origin.url + "/", "ann")
    bob, bob_is = ntlm_log_in(proxy, origin.url + "/", "bob")
    assert ann_is.startswith(b"ann on ") and bob_is.startswith(b"bob on ")
    assert ann_is.split()[2] != bob_is.split()[2]
    for _ in range(5):
        assert ask(proxy, origin.url + "/more", peer=ann).body == ann_is
        assert ask(proxy, origin.url + "/more", peer=bob).body == bob_is
        assert ask(proxy, origin.url + "/more").status == 401  # somebody else
    ann.close()
    bob.close()
    for _ in range(5):
        assert ask(proxy, origin.url + "/after").status == 401


# ---- name servers ---------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["renamed", "overwritten"])
def test_new_resolv_conf_is_in_force_within_a_second(start_proxy, start_origin, start_names, way):
    close = [("Connection", "close")]
    home = start_origin(answering(lambda request: reply(b"home\n", headers=close)))
    start_origin(answering(lambda request: reply(b"road\n", headers=close)), address="127.0.0.2",
                 port=home.port)
    at_home = start_names({"printer.test": ["127.0.0.1"]}, ttl_s=3600)
    on_road = start_names({"printer.test": ["127.0.0.2"], "hotel.test": ["127.0.0.2"]}, ttl_s=3600)
    proxy = start_proxy()
    resolv_conf = proxy.directory / "resolv.conf"

    def change(server):
        text = "nameserver %s\n" % server.at
        if way == "overwritten":
            resolv_conf.write_text(text)
        else:
            fresh = proxy.directory / "resolv.conf.new"
            fresh.write_text(text)
            os.rename(fresh, resolv_conf)

    def is_answered_by(body):
        response = ask(proxy, "http://printer.test:%d/" % home.port)
        return response.status == 200 and response.body == body

    def move():
        longest = 0.0
        for server, body in ((on_road, b"road\n"), (at_home, b"home\n")):
            began = time.monotonic()
            change(server)
            wait_for("answer of %s" % body, lambda body=body: is_answered_by(body))
            longest = max(longest, time.monotonic() - began)
        return longest
    change(at_home)
    wait_for("answer at home", lambda: is_answered_by(b"home\n"))
    assert_quick("a new resolv.conf", 1, move)


def test_names_in_the_hosts_file(start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply(request.fields["host"].encode())))
    proxy = start_proxy()
    (proxy.directory / "hosts").write_text("127.0.0.1 first.test alias.test # comment\n")
    wait_for("name", lambda: ask(proxy, "http://first.test:%d/" % origin.port).status == 200)
    response = ask(proxy, "http://alias.test:%d/" % origin.port)
    assert response.body == b"alias.test:%d" % origin.port


def test_a_dot_at_the_end_keeps_search_domains_away(start_proxy, start_origin, start_names):
    close = [("Connection", "close")]
    origin = start_origin(answering(lambda request: reply(b"lab\n", headers=close)))
    start_origin(answering(lambda request: reply(b"top\n", headers=close)), address="127.0.0.2",
                 port=origin.port)
    names = start_names({"printer.lab.test": ["127.0.0.1"], "printer": ["127.0.0.2"],
                         "scanner.lab.test": ["127.0.0.1"]})
    proxy = start_proxy()
    (proxy.directory / "resolv.conf").write_text("nameserver %s\nsearch lab.test\n" % names.at)

    def body(host):
        response = ask(proxy, "http://%s:%d/" % (host, origin.port))
        return response.body if response.status == 200 else response.status
    wait_for("name server", lambda: body("printer") == b"lab\n")
    assert body("printer.") == b"top\n"
    assert body("printer") == b"lab\n"
    assert body("scanner") == b"lab\n"
    assert body("scanner.") == 502
    tunnel = Peer(proxy.connect())
    tunnel.send(b"CONNECT printer.:%d HTTP/1.1\r\nHost: printer.\r\n\r\n" % origin.port)
    assert b" 200 " in tunnel.until(b"\r\n\r\n")
    tunnel.send(b"GET / HTTP/1.1\r\nHost: printer.:%d\r\n\r\n" % origin.port)
    assert read_response(tunnel).body == b"top\n"
    tunnel.close()


# ---- addresses raced ------------------------------------------------------------------------------

def test_addresses_are_raced(in_own_network, tmp_path):
    """See race.py: hosts of one kind of address only, and half-dead ones."""
    in_own_network("race.py", tmp_path)
