"""HTTPS that is looked into: the steps of a CONNECT in their order, what is passed through untouched,
requests inside, hosts that rules stop, and what is learned from programs that do not trust us."""
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import types

import pytest
from daemon_house import reload, wait_for_log
from house import Closed, answering, read_request, read_response, reply, wait_for
from intercept_house import (Authority, Tunnel, dead_port, fetch, hello, is_ours, openssl, own_root,
                             secure)

HOSTS = "127.0.0.1 good.test other.test bad.test ads.test page.test slow.test\n"


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "origins")


@pytest.fixture
def start(tmp_path, start_proxy, origins):
    """A proxy that opens everything, trusts the authority of the origins, and knows the names."""
    def started(rules="", more="", **options):
        (tmp_path / "hosts").write_text(HOSTS)
        (tmp_path / "rules.txt").write_text(rules)
        (tmp_path / "rules.d").mkdir(exist_ok=True)
        options.setdefault("intercept", "all")
        return start_proxy('list "ours" { file = "%s" }\n%s' % (tmp_path / "rules.txt", more),
                           extra_ca=[str(origins.root)], hosts_file=str(tmp_path / "hosts"),
                           rules_dir=str(tmp_path / "rules.d"), **options)
    return started


@pytest.fixture
def good(start_origin, origins):
    """Answers over TLS, as good.test and by its address."""
    context = origins.server("DNS:good.test", "DNS:*.good.test", "IP:127.0.0.1",
                             protocols=["http/1.1"])
    return start_origin(secure(context, hello()))


def raw(proxy, host, port):
    return Tunnel(proxy, host, port)


# ---- (1) who is opened ------------------------------------------------------------------------------

def test_one_that_is_not_opened_is_connected_first(start, good, origins):
    proxy = start(more='site "good.test" { intercept = no }')
    with raw(proxy, "good.test", dead_port()) as tunnel:
        assert tunnel.response.status == 502
    with raw(proxy, "good.test", good.port) as tunnel:
        assert tunnel.response.status == 200
        tunnel.shake_hands(origins.root)
        assert not is_ours(tunnel.certificate())
        assert tunnel.ask().body == b"hello from the origin"


@pytest.mark.parametrize("mode", ["none", "enrolled"])
def test_nobody_is_opened_unasked(start, good, origins, mode):
    proxy = start(intercept=mode)
    assert fetch(proxy, origins.root, "good.test", good.port).status == 200


# ---- (2) the hello -------------------------------------------------------------------------------------

class InMemory:
    """TLS whose bytes are carried by hand."""

    def __init__(self, tunnel, roots):
        context = ssl.create_default_context(cafile=str(roots))
        self.tunnel = tunnel
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inside = context.wrap_bio(self.incoming, self.outgoing, server_hostname=tunnel.host)
        with pytest.raises(ssl.SSLWantReadError):
            self.inside.do_handshake()

    def say(self, step=1 << 20):
        said = self.outgoing.read()
        for at in range(0, len(said), step):
            self.tunnel.send(said[at:at + step])

    def finish(self):
        while True:
            try:
                self.inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.incoming.write(self.tunnel.some(65536))
        self.say()

    def ask(self):
        self.inside.write(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % self.tunnel.authority.encode())
        self.say()
        got = b""
        while b"origin" not in got:
            try:
                got += self.inside.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(self.tunnel.some(65536))
        return got


@pytest.mark.parametrize("before", [b"", b"GET http://dejunk/healthz HTTP/1.1\r\nHost: dejunk\r\n\r\n"])
@pytest.mark.parametrize("cut", [1, 100, None])
def test_a_hello_right_behind_connect(start, good, before, cut):
    proxy = start()
    inside = InMemory(types.SimpleNamespace(host="good.test"), own_root(proxy))
    said = inside.outgoing.read()
    with Tunnel(proxy, "good.test", good.port, before=before, behind=said[:cut]) as tunnel:
        assert tunnel.response.status == 200
        if cut:
            tunnel.send(said[cut:])
        inside.tunnel = tunnel
        inside.finish()
        assert b"hello from the origin" in inside.ask()


@pytest.mark.parametrize("before", [b"", b"GET http://dejunk/healthz HTTP/1.1\r\nHost: dejunk\r\n\r\n"])
def test_what_is_in_clear_never_becomes_a_request_inside(start, good, before):
    proxy = start()
    request = b"GET /injected HTTP/1.1\r\nHost: good.test:%d\r\n\r\n" % good.port
    with Tunnel(proxy, "good.test", good.port, before=before, behind=request) as tunnel:
        assert read_response(tunnel).status == 502  # in clear, which that origin does not speak
        assert good.requests == []


def test_a_hello_in_pieces(start, good):
    proxy = start()
    with raw(proxy, "good.test", good.port) as tunnel:
        inside = InMemory(tunnel, own_root(proxy))
        inside.say(step=1)
        inside.finish()
        assert b"hello from the origin" in inside.ask()


def test_neither_tls_nor_http_is_passed_through(start, start_origin):
    def ssh(_, peer):
        assert peer.until(b"\r\n") == b"SSH-2.0-browser\r\n"
        peer.send(b"SSH-2.0-origin\r\n")
    origin = start_origin(ssh)
    proxy = start()
    with raw(proxy, "127.0.0.1", origin.port) as tunnel:
        tunnel.send(b"SSH-2.0-browser\r\n")
        assert tunnel.until(b"\r\n") == b"SSH-2.0-origin\r\n"


@pytest.mark.parametrize("line", [b"OPTIONS rtsp://a.test/ RTSP/1.0\r\n", b"PRI * HTTP/2.0\r\n", b"GET x\n",
                                  b"\x16\x03\x01\x00\x02\x05\x00"])
def test_what_only_looks_alike_is_passed_through(start, start_origin, line):
    def script(_, peer):
        assert peer.take(len(line)) == line
        peer.send(b"as it was\n")
    origin = start_origin(script)
    proxy = start()
    with raw(proxy, "127.0.0.1", origin.port) as tunnel:
        for at in range(len(line)):
            tunnel.send(line[at:at + 1])
        assert tunnel.until(b"\n") == b"as it was\n"


def test_a_silent_browser_hears_the_origin(start, start_origin):
    def speaks_first(_, peer):
        peer.send(b"220 ready\r\n")
        peer.send(peer.until(b"\r\n"))
    origin = start_origin(speaks_first)
    proxy = start()
    began = time.monotonic()
    with raw(proxy, "127.0.0.1", origin.port) as tunnel:
        assert tunnel.until(b"\r\n") == b"220 ready\r\n"
        assert 0.9 < time.monotonic() - began < 10
        tunnel.send(b"EHLO\r\n")
        assert tunnel.until(b"\r\n") == b"EHLO\r\n"


def test_http_in_clear_inside_is_http(start, start_origin):
    origin = start_origin(answering(lambda request: reply(request.target.encode())))
    proxy = start("||127.0.0.1^*/ad.js\n")
    with raw(proxy, "127.0.0.1", origin.port) as tunnel:
        assert tunnel.ask("/one").body == b"/one"
        assert tunnel.ask("/ad.js").status == 403
        assert tunnel.ask("/two", host="other.test").status == 421


# ---- (3) the origin first --------------------------------------------------------------------------------

def test_nothing_is_said_before_the_origin_is_verified(start, start_origin, origins):
    go_on = threading.Event()
    script = secure(origins.server("DNS:slow.test"), hello())

    def slow(origin, peer):
        go_on.wait(20)
        script(origin, peer)
    origin = start_origin(slow)
    proxy = start()
    with raw(proxy, "slow.test", origin.port) as tunnel:
        inside = InMemory(tunnel, own_root(proxy))
        inside.say()
        wait_for("connection to the origin", lambda: origin.accepted == 1)
        tunnel.sock.settimeout(0.2)
        with pytest.raises(Closed):  # by the clock: nothing came
            tunnel.some(1)
        tunnel.sock.settimeout(20)
        go_on.set()
        inside.finish()
        assert b"hello from the origin" in inside.ask()


def test_offers_only_what_the_browser_offers(start, start_origin, origins):
    seen = []

    def script(origin, peer):
        seen.append((peer.sock.selected_alpn_protocol(), peer.sock.version()))
        hello()(origin, peer)
    origin = start_origin(secure(origins.server("DNS:good.test", "DNS:other.test", "DNS:page.test",
                                                protocols=["h2", "http/1.1"]), script))
    proxy = start()
    for name, protocols, want in (("good.test", ["h2", "http/1.1"], "http/1.1"), ("other.test", [], None)):
        with raw(proxy, name, origin.port) as tunnel:
            tunnel.shake_hands(own_root(proxy), protocols=protocols)
            assert tunnel.sock.selected_alpn_protocol() == want
            assert tunnel.ask().status == 200
        assert seen.pop() == (want, "TLSv1.3")

    def old(context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with raw(proxy, "page.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy), protocols=["http/1.1"], change=old)
        assert tunnel.sock.version() == "TLSv1.2" and tunnel.ask().status == 200
    assert seen.pop() == ("http/1.1", "TLSv1.2")


def test_only_h2_is_passed_through(start, start_origin, origins):
    origin = start_origin(secure(origins.server("DNS:good.test", protocols=["h2"]),
                                 lambda origin, peer: peer.send(b"frames")))
    proxy = start()
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(origins.root, protocols=["h2"])
        assert tunnel.sock.selected_alpn_protocol() == "h2" and tunnel.take(6) == b"frames"


def test_a_kept_connection_counts_as_verified(start, good):
    proxy = start()
    for _ in range(3):
        assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200
    assert good.accepted == 1
    assert len(good.requests) == 3


# ---- (4) the leaf -------------------------------------------------------------------------------------------

def test_the_leaf_has_the_names_of_the_origin(start, good):
    proxy = start()
    with raw(proxy, "good.test", good.port) as tunnel:
        text = tunnel.shake_hands(own_root(proxy)).certificate()
    assert is_ours(text), text
    assert "DNS:good.test" in text and "DNS:*.good.test" in text and "IP Address:127.0.0.1" in text
    assert "TLS Web Server Authentication" in text and "Client" not in text
    dates = dict(re.findall(r"not(Before|After)=(.*)", text))
    begins, ends = (ssl.cert_time_to_seconds(dates[one]) for one in ("Before", "After"))
    assert begins < time.time() < ends and ends - begins <= 7 * 24 * 3600


def test_one_leaf_for_many_who_wait(start, good):
    proxy = start(log_level="info")
    root, statuses = own_root(proxy), []

    def visit():
        statuses.append(fetch(proxy, root, "good.test", good.port).status)
    visitors = [threading.Thread(target=visit) for _ in range(30)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(30)
    assert statuses == [200] * 30
    assert len(re.findall("signed for worker .*good.test", proxy.log())) == 1


def test_an_address_with_and_without_sni(start, good):
    proxy = start()
    with raw(proxy, "127.0.0.1", good.port) as tunnel:
        tunnel.shake_hands(own_root(proxy), name=False)
        assert is_ours(tunnel.certificate()) and tunnel.ask().status == 200
    with raw(proxy, "127.0.0.1", good.port) as tunnel:  # the name in the hello is who it must be
        tunnel.shake_hands(own_root(proxy), name="good.test")
        assert tunnel.ask(host="good.test:%d" % good.port).status == 200
        assert tunnel.ask(host="127.0.0.1:%d" % good.port).status == 421


# ---- (5) bad ones are the browser's own affair ------------------------------------------------------------------

def test_a_bad_certificate_is_seen_by_the_browser(start, start_origin, origins, tmp_path):
    others = Authority(tmp_path / "others", "somebody else")
    bad = start_origin(secure(others.server("DNS:bad.test"), hello(b"secret")))
    proxy = start()
    with raw(proxy, "bad.test", bad.port) as tunnel:
        with pytest.raises(ssl.SSLCertVerificationError):
            tunnel.shake_hands(own_root(proxy))
    with raw(proxy, "bad.test", bad.port) as tunnel:
        tunnel.shake_hands(others.root)
        assert tunnel.ask().body == b"secret"
    wait_for_log(proxy, "bad.test is passed through.*chain: ")
    assert bad.accepted == 4  # each was looked at, and connected to again
    wrong = start_origin(secure(origins.server("DNS:else.test"), hello()))
    with raw(proxy, "bad.test", wrong.port) as tunnel:
        assert "DNS:else.test" in tunnel.shake_hands().certificate()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_the_browsers_own(start, start_origin, origins, version):
    context = origins.server("DNS:good.test")
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(origins.root))
    seen = []

    def script(origin, peer):
        seen.append(peer.sock.getpeercert()["subject"])
        hello()(origin, peer)
    origin = start_origin(secure(context, script))
    proxy = start()
    mine = origins.leaf("DNS:me", use="clientAuth")
    for turn in (1, 2):
        with raw(proxy, "good.test", origin.port) as tunnel:
            tunnel.shake_hands(origins.root, certificate=mine)
            assert tunnel.ask().status == 200
        assert len(seen) == turn
    assert origin.accepted == 3  # the second time nobody tried


def test_a_client_certificate_that_is_asked_for_later(start, origins):
    """By another handshake, of TLS 1.2: the first answer is the origin's failure, the next tunnel is the
    browser's own."""
    both = origins.leaf("DNS:good.test")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    origin = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-tls1_2", "-cert",
                               str(both), "-key", str(both)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = threading.Timer(20, origin.kill)  # what it says is waited for without a limit
    limit.start()
    try:
        until(origin, "ACCEPT")
        proxy = start()
        with raw(proxy, "good.test", port) as tunnel:
            tunnel.shake_hands(own_root(proxy))
            tunnel.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % tunnel.authority.encode())
            until(origin, "Host: good.test")
            origin.stdin.write("R\n")  # asks for a certificate
            origin.stdin.flush()
            assert read_response(tunnel).status == 502
            assert tunnel.rest()[1]
        wait_for_log(proxy, "another handshake")
        with raw(proxy, "good.test", port) as tunnel:
            assert not is_ours(tunnel.shake_hands(origins.root).certificate())
    finally:
        limit.cancel()
        origin.kill()
        origin.wait()
        origin.stdin.close()
        origin.stdout.close()


def until(process, words):
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError("it ended before %r" % words)


def test_a_good_one_that_turned_bad(start, start_origin, origins, tmp_path):
    """A connection for a later request is as good as the first, or is not made."""
    others = Authority(tmp_path / "others", "somebody else")
    contexts = [origins.server("DNS:good.test"), others.server("DNS:good.test")]

    def script(origin, peer):
        context = contexts.pop(0) if len(contexts) > 1 else contexts[0]

        def once(origin, peer):
            peer.send(reply(headers=[("Connection", "close")]) if origin.seen(read_request(peer)) else b"")
        secure(context, once)(origin, peer)
    origin = start_origin(script)
    proxy = start()
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask().status == 200
        answer = tunnel.ask("/again")
        assert answer.status == 502 and b"certificate" in answer.body
        assert tunnel.rest()[1]  # the next tunnel is for the browser to judge
    assert len(origin.requests) == 1


def test_a_tunnel_whose_trust_a_reload_takes_away(start, good, tmp_path, monkeypatch):
    """Where no root is left nothing is asked of the origin, and the worker lives."""
    (tmp_path / "none.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    proxy = start()
    with raw(proxy, "good.test", good.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask().status == 200
        path = proxy.directory / "proxy.conf"
        path.write_text(re.sub(r"(?m)^extra_ca.*$", "", path.read_text()))
        reload(proxy)
        answer = tunnel.ask("/again")
        assert answer.status == 502 and b"trusted" in answer.body
        assert tunnel.rest()[1]
    assert len(good.requests) == 1
    assert "signal" not in proxy.log()


def test_the_files_of_extra_ca_have_limits(start, good, origins, tmp_path):
    """A file of 2 MB, 64 of them, and not one more."""
    root, most, paths = origins.root.read_text(), 2 << 20, []
    for number in range(65):
        paths.append(tmp_path / ("more%d.pem" % number))
        paths[-1].write_text(root)
    proxy = start()
    taken = refused = 0
    for size, count, why in ((most, 1, None), (most + 1, 1, "has more than %d bytes" % most),
                             (0, 64, None), (0, 65, "extra_ca: more than 64 files in all")):
        paths[0].write_text(root.ljust(size, "\n"))
        proxy.options["extra_ca"] = paths[:count]
        proxy.write_config()
        if why:
            refused += 1
            proxy.process.send_signal(signal.SIGHUP)
            wait_for_log(proxy, "the old config stays: .*" + why)
        else:
            taken += 1
            reload(proxy, taken)
        assert proxy.log().count("the old config stays") == refused
        assert fetch(proxy, own_root(proxy), "good.test", good.port).status == 200


# ---- (6) errors, inside ---------------------------------------------------------------------------------------------

def test_errors_are_pages_inside(start, start_origin):
    resets = start_origin(lambda origin, peer: (peer.some(10), peer.reset()))
    proxy = start()
    for host, port, status in (("good.test", dead_port(), 502), ("nowhere.test", 443, 502),
                               ("good.test", resets.port, 502)):
        answer = fetch(proxy, own_root(proxy), host, port)
        assert answer.status == status, host
        assert b"<html" in answer.body.lower() or b"<!doctype" in answer.body.lower()
    with raw(proxy, "good.test", dead_port()) as tunnel:
        text = tunnel.shake_hands(own_root(proxy)).certificate()
        assert "DNS:good.test" in text and "*" not in text


def test_forbidden_places_are_forbidden_inside(start, good):
    proxy = start(allow_destinations=["127.0.0.2"])
    assert fetch(proxy, own_root(proxy), "127.0.0.1", good.port).status == 403
    assert good.accepted == 0


# ---- beside the straight way -----------------------------------------------------------------------------------------

def test_a_program_that_cannot_take_our_leaf_is_passed_through(start, start_origin, tmp_path):
    """An old one that knows only RSA, and an origin for it."""
    key, certificate = tmp_path / "rsa.key", tmp_path / "rsa.crt"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=good.test",
            "-addext", "subjectAltName=DNS:good.test", "-keyout", str(key), "-out", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    origin = start_origin(secure(context, hello()))
    proxy = start()

    def old(context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(certificate, change=old)
        assert tunnel.ask().status == 200
    assert origin.accepted == 1  # nobody looked before


def test_by_way_of_a_parent(start, good, start_proxy, tmp_path, origins):
    (tmp_path / "hosts").write_text(HOSTS)
    parent = start_proxy(hosts_file=str(tmp_path / "hosts"))
    proxy = start(more='parent "above" { url = "%s" }' % parent.url)
    for _ in range(2):
        with raw(proxy, "good.test", good.port) as tunnel:
            assert is_ours(tunnel.shake_hands(own_root(proxy)).certificate())
            assert tunnel.ask().body == b"hello from the origin"
    assert good.accepted == 1
    with raw(proxy, "other.test", good.port) as tunnel:  # a certificate of others: passed through
        assert not is_ours(tunnel.shake_hands().certificate())
    with raw(proxy, "good.test", dead_port()) as tunnel:
        assert tunnel.shake_hands(own_root(proxy)).ask().status == 502


def test_names_behind_the_name_are_asked_of_the_rules(start, start_origin, start_names, origins, tmp_path):
    origin = start_origin(secure(origins.server("DNS:www.cloaked.test"), hello()))
    names = start_names({"www.cloaked.test": ["alias tracker.test", "127.0.0.1"]})
    (tmp_path / "resolv.conf").write_text("nameserver %s\n" % names.at)
    proxy = start("||tracker.test^\n", resolv_conf=str(tmp_path / "resolv.conf"))
    with raw(proxy, "www.cloaked.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        answer = tunnel.ask("/x.js", headers=[("Sec-Fetch-Dest", "script")])
    assert answer.status == 403 and origin.requests == []


def test_the_browser_may_finish_sending_first(start, good):
    proxy = start()
    with raw(proxy, "good.test", good.port) as tunnel:
        inside = InMemory(tunnel, own_root(proxy))
        inside.say()
        inside.finish()
        inside.inside.write(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % tunnel.authority.encode())
        with pytest.raises(ssl.SSLError):
            inside.inside.unwrap()
        inside.say()
        got = b""
        while b"origin" not in got:
            try:
                got += inside.inside.read(65536)
            except ssl.SSLWantReadError:
                inside.incoming.write(tunnel.some(65536))


def test_it_ends_in_order_whatever_is_under_way(start, good, start_origin):
    silent = start_origin(lambda origin, peer: peer.rest())
    proxy = start()
    with raw(proxy, "good.test", good.port) as answered, raw(proxy, "good.test", good.port) as begun, \
            raw(proxy, "good.test", silent.port) as waits, raw(proxy, "good.test", good.port) as shown, \
            raw(proxy, "good.test", good.port) as opened:
        assert answered.response.status == 200
        begun.send(b"\x16\x03\x01")
        InMemory(waits, own_root(proxy)).say()
        InMemory(shown, own_root(proxy)).say()
        shown.some(1)
        opened.shake_hands(own_root(proxy))
        assert opened.ask().status == 200
        wait_for("connection to the origin", lambda: silent.accepted == 1)
        assert proxy.stop() == 0


# ---- requests inside ---------------------------------------------------------------------------------------------------

def test_requests_inside_are_for_the_tunnels_host_alone(start, good):
    proxy = start()
    host = "good.test:%d" % good.port
    cases = [
        # target, Host, status
        ("/", host, 200),
        ("https://%s/" % host, host, 200),
        ("/", "other.test:%d" % good.port, 421),
        ("/", "good.test", 421),
        ("/", "good.test:443", 421),
        ("http://%s/" % host, host, 421),
        ("https://other.test/", host, 421),
    ]
    for target, named, status in cases:
        with raw(proxy, "good.test", good.port) as tunnel:
            tunnel.shake_hands(own_root(proxy))
            assert tunnel.ask(target, host=named).status == status, (target, named)
    with raw(proxy, "good.test", good.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask(host, method="CONNECT").status in (400, 421)
    assert {request.target for request in good.requests} == {"/"}


def test_nobody_is_seen_between(start, start_origin, origins):
    headers = [("Alt-Svc", 'h3=":443"; ma=1, h2="alt.test:1"'), ("Strict-Transport-Security", "max-age=9"),
               ("Set-Cookie", "a=1; Secure"), ("Public-Key-Pins", "x"),
               ("Content-Security-Policy", "default-src 'self'")]
    origin = start_origin(secure(origins.server("DNS:good.test"), hello(headers=headers)))
    proxy = start(via=True)
    answer = fetch(proxy, own_root(proxy), "good.test", origin.port)
    for name, value in headers[1:]:
        assert answer.fields[name.lower()] == value
    assert answer.fields["alt-svc"] == 'h2="alt.test:1"' and "via" not in answer.fields
    assert "via" not in origin.requests[0].fields


def test_an_upgrade_inside(start, start_origin, origins):
    def script(origin, peer):
        request = origin.seen(read_request(peer))
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n"
                  % request.fields["upgrade"].encode())
        peer.send(peer.until(b"\n"))
        peer.send(b"x" * 300000 + b"\n")
    origin = start_origin(secure(origins.server("DNS:good.test"), script))
    proxy = start("||good.test^*/stopped$websocket\n")
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
              ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask("/talk", headers=fields).status == 101
        tunnel.send(b"hello\n")
        assert tunnel.until(b"\n") == b"hello\n"
        assert len(tunnel.until(b"\n")) == 300001
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask("/stopped", headers=fields).status == 403


def test_large_bodies_both_ways(start, start_origin, origins):
    body = os.urandom(1 << 20) * 20

    def script(origin, peer):
        while True:
            request = read_request(peer)
            peer.send(reply(b"%d" % len(request.body) if request.body else body))
    origin = start_origin(secure(origins.server("DNS:good.test"), script))
    proxy = start()
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert tunnel.ask("/", "POST", body=body).body == b"%d" % len(body)
        assert tunnel.ask("/").body == body


def test_a_cut_body_is_seen_to_be_cut(start, start_origin, origins):
    def script(_, peer):
        read_request(peer)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        peer.sock = socket.socket(fileno=peer.sock.detach())  # a bare end, without close_notify
    origin = start_origin(secure(origins.server("DNS:good.test"), script))
    proxy = start()
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        tunnel.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % tunnel.authority.encode())
        assert not tunnel.rest()[1]


# ---- SNI and CONNECT -------------------------------------------------------------------------------------------------------

def test_another_name_than_connect_says_is_passed_through(start, start_origin, origins):
    origin = start_origin(secure(origins.server("DNS:other.test"), hello()))
    proxy = start("||ads.test^\n")
    with raw(proxy, "good.test", origin.port) as tunnel:
        tunnel.shake_hands(origins.root, name="other.test")
        assert not is_ours(tunnel.certificate())


@pytest.mark.parametrize("mode", ["all", "none"])
def test_the_rules_are_asked_of_both_names(start, start_origin, origins, mode):
    origin = start_origin(secure(origins.server("DNS:ads.test", "DNS:good.test"), hello()))
    proxy = start("||ads.test^\n", intercept=mode)
    with raw(proxy, "good.test", origin.port) as tunnel:
        with pytest.raises((OSError, ssl.SSLError)):
            tunnel.shake_hands(name="ads.test")
    assert origin.requests == []


# ---- hosts that the rules stop ------------------------------------------------------------------------------------------------

def test_a_stopped_host_has_pages_and_stubs_of_ours(start, start_origin, origins):
    origin = start_origin(secure(origins.server("DNS:ads.test"), hello()))
    proxy = start("||ads.test^\n||ads.test^$script,redirect=noop.js\n@@||ads.test^*/fine.js\n")
    with raw(proxy, "ads.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        page = tunnel.ask("/", headers=[("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Mode", "navigate"),
                                        ("Accept", "text/html")])
        assert page.status == 403 and b"ads.test" in page.body
        image = tunnel.ask("/a.png", headers=[("Sec-Fetch-Dest", "image")])
        assert image.status == 200 and image.body.startswith(b"GIF89a")
        style = tunnel.ask("/a.css", headers=[("Sec-Fetch-Dest", "style")])
        assert style.status == 403 and style.body == b""
        script = tunnel.ask("/a.js", headers=[("Sec-Fetch-Dest", "script")])
        assert script.status == 200 and b"function" in script.body
        assert origin.accepted == 0
        fine = tunnel.ask("/fine.js", headers=[("Sec-Fetch-Dest", "script")])
        assert fine.body == b"hello from the origin"
    assert origin.accepted == 1


def test_the_way_on_leads_on(start, start_origin, origins):
    origin = start_origin(secure(origins.server("DNS:ads.test"), hello()))
    proxy = start("||ads.test^\n")
    url = "https://ads.test:%d/" % origin.port
    with raw(proxy, "ads.test", origin.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        page = tunnel.ask("/", headers=[("Sec-Fetch-Dest", "document")]).body.decode()
        assert 'action="https://dejunk/pass"' in page
        values = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
        assert values["url"] == url
        form = "&".join("%s=%s" % (name, value.replace(":", "%3A").replace("/", "%2F"))
                        for name, value in values.items())
        with raw(proxy, "dejunk", 443) as ours:
            ours.shake_hands(own_root(proxy))
            answer = ours.ask("/pass", "POST", host="dejunk", body=form.encode(),
                              headers=[("Content-Type", "application/x-www-form-urlencoded"),
                                       ("Origin", "https://ads.test:%d" % origin.port)])
        assert answer.status in (302, 303) and answer.fields["location"] == url
        assert tunnel.ask("/").body == b"hello from the origin"


# ---- what is learned ----------------------------------------------------------------------------------------------------------

def curl(proxy, roots, url, *more):
    return subprocess.run(["curl", "-sS", "-m", "20", "-x", proxy.url, "--cacert", str(roots), *more, url],
                          capture_output=True, text=True)


def test_a_program_that_trusts_its_own_is_passed_through_after_its_alert(start, good, origins):
    proxy = start(workers=2)
    url = "https://good.test:%d/" % good.port
    first = curl(proxy, origins.root, url)
    assert first.returncode == 60, first  # CURLE_PEER_FAILED_VERIFICATION

    def gets_through():  # whichever worker it comes to
        return all(curl(proxy, origins.root, url).stdout == "hello from the origin" for _ in range(6))
    wait_for("every worker", gets_through)
    # Another program goes on being looked into.
    with raw(proxy, "good.test", good.port) as tunnel:
        tunnel.shake_hands(own_root(proxy))
        assert is_ours(tunnel.certificate())


def test_what_origins_do_exempts_nothing(start, start_origin, origins, tmp_path):
    others = Authority(tmp_path / "others", "somebody else")
    contexts = [others.server("DNS:good.test"), origins.server("DNS:good.test")]
    how = ["reset", "bad", "end"]

    def script(origin, peer):
        turn = how[0] if how else "good"
        if turn == "reset":
            peer.some(1)
            peer.reset()
        elif turn == "end":
            peer.some(1)
        else:
            secure(contexts[0 if turn == "bad" else 1], hello())(origin, peer)
    origin = start_origin(script)
    proxy = start()
    while how:
        for _ in range(4):
            with raw(proxy, "good.test", origin.port) as tunnel:
                try:
                    tunnel.shake_hands(own_root(proxy))
                    assert how[0] != "bad" and tunnel.ask().status in (502, 504)
                except ssl.SSLCertVerificationError:
                    assert how[0] == "bad"
        del how[0]
    with raw(proxy, "good.test", origin.port) as tunnel:
        assert is_ours(tunnel.shake_hands(own_root(proxy)).certificate())
        assert tunnel.ask().status == 200


def test_closing_early_exempts_nothing(start, good):
    """Browsers open connections that they may not need, and close them at any moment."""
    proxy = start()

    def open_then_close(moment):
        with raw(proxy, "good.test", good.port) as tunnel:
            if moment == "answered":
                return
            inside = InMemory(tunnel, own_root(proxy))
            inside.say()
            if moment == "asked":
                return
            if moment == "shown":
                tunnel.some(1)  # our certificate has come
                return
            inside.finish()
    for moments in (["answered"] * 5, ["asked", "done"] * 3, ["done"] * 5, ["shown", "shown", "done"] * 3):
        for moment in moments:
            open_then_close(moment)
        with raw(proxy, "good.test", good.port) as tunnel:
            assert is_ours(tunnel.shake_hands(own_root(proxy)).certificate()), moments
            assert tunnel.ask().status == 200


def test_a_stopped_host_is_never_passed_through(start, start_origin, origins):
    origin = start_origin(secure(origins.server("DNS:ads.test"), hello()))
    proxy = start("||ads.test^\n")
    for _ in range(3):
        assert curl(proxy, origins.root, "https://ads.test:%d/" % origin.port).returncode == 60
    assert origin.accepted == 0
