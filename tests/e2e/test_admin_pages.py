"""Our own pages: through the proxy and at the port itself, for whom, by which names, and what they
say while processes come and go."""
import os
import re
import signal

import pytest
from admin_house import (admin_pid, metrics_with, names_of, page, start_filtering, status, url_at,
                         wait_for_control)
from daemon_house import workers
from house import Peer, answering, ask, read_response, reply, wait_for

PAGES = [
    ("/", 200, "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("/?x=1", 200, "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("/style.css", 200, "text/css; charset=utf-8", b":root{"),
    ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", b"# HELP dejunk_"),
    ("/healthz", 200, "text/plain; charset=utf-8", b"ok\n"),
    ("/proxy.pac", 200, "application/x-ns-proxy-autoconfig", b"function FindProxyForURL("),
    ("/nothing", 404, "text/plain; charset=utf-8", b"There is no such page"),
    ("//", 404, "text/plain; charset=utf-8", b"There is no such page"),
]


@pytest.fixture
def proxy(start_proxy):
    one = start_proxy(workers=2)
    wait_for_control(one)
    return one


@pytest.mark.parametrize("path, code, content_type, begin", PAGES)
def test_pages_by_name_and_at_the_port(proxy, path, code, content_type, begin):
    for response in (page(proxy, path), ask(proxy, "http://dejunk" + path)):
        assert response.status == code
        assert response.fields["content-type"] == content_type
        assert response.body.startswith(begin)
        assert response.fields["cache-control"] == "no-store"
        assert response.fields["x-content-type-options"] == "nosniff"
        assert response.fields["content-security-policy"].startswith("default-src 'none'")


def test_many_requests_on_one_connection_and_head(proxy):
    peer = Peer(proxy.connect())
    for method in ("GET", "HEAD", "GET"):
        response = ask(proxy, "http://dejunk/healthz", method=method, peer=peer)
        assert response.status == 200
        assert response.body == (b"" if method == "HEAD" else b"ok\n")
        assert response.fields["content-length"] == "3"
    peer.sock.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_change_nothing(proxy, method):
    body = b"x" * 100000 if method in ("POST", "PUT") else b""
    response = ask(proxy, "http://dejunk/", method=method, body=body)
    assert response.status == 405
    assert response.fields["allow"] == "GET, HEAD, POST"  # forms with a token only
    assert page(proxy, "/healthz").status == 200


@pytest.mark.parametrize("host, code", [
    ("127.0.0.1:%d", 200), ("localhost:%d", 200), ("dejunk", 200), ("DEJUNK:%d", 200),
    ("[::1]:%d", 200), ("evil.example", 421), ("evil.example:%d", 421), ("dejunk.evil.example", 421),
    ("127.0.0.1.evil.example:%d", 421),
])
def test_only_names_that_are_surely_ours(proxy, host, code):
    """DNS rebinding: a page's own name must not lead to us."""
    peer = Peer(proxy.connect())
    host = host % proxy.port if "%" in host else host
    peer.send(b"GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    assert read_response(peer).status == code
    peer.sock.close()


def test_who_asks_is_told_by_us_alone(proxy):
    """Fields by which a worker tells admin who asks are taken off what a browser sent."""
    for name in ("X-Dejunk-Client", "x-dejunk-client", "X-DEJUNK-User"):
        text = page(proxy, "/", headers=[(name, "6.6.6.6"), (name, "7.7.7.7")]).body.decode()
        assert "You come from 127.0.0.1." in text
        assert "6.6.6.6" not in text and "7.7.7.7" not in text


def test_who_asks_with_a_password(start_proxy):
    secret = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
    proxy = start_proxy('user "<ann>" { password = "%s" }' % secret, allow=["127.0.0.1"])
    wait_for_control(proxy)
    assert "You come from 127.0.0.1." in page(proxy, "/").body.decode()


def test_the_pac_file_names_where_it_was_asked_for(proxy):
    own = "PROXY 127.0.0.1:%d" % proxy.port
    for url, host, want in [
            ("/proxy.pac", "127.0.0.1:%d" % proxy.port, own),
            ("/proxy.pac", "localhost:%d" % proxy.port, "PROXY localhost:%d" % proxy.port),
            ("/proxy.pac", "192.168.1.2:3128", "PROXY 192.168.1.2:3128"),
            ("/proxy.pac", "[::1]:3128", "PROXY [::1]:3128"),
            ("/proxy.pac", "192.168.1.2", "PROXY 192.168.1.2:80"),
            ("/proxy.pac", "[::1]", "PROXY [::1]:80"),
            ("/proxy.pac", "dejunk", own),
            ("http://dejunk/proxy.pac", "dejunk", own),
            ("http://dejunk/wpad.dat", "dejunk", own)]:
        peer = Peer(proxy.connect())
        peer.send(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (url, host)).encode())
        response = read_response(peer)
        peer.sock.close()
        assert response.status == 200, (url, host)
        assert '"%s"' % want in response.body.decode(), (url, host)
        assert "DIRECT" in response.body.decode()


def test_metrics_are_as_prometheus_reads_them(start_proxy, start_origin, tmp_path):
    proxy, origin = start_filtering(start_proxy, tmp_path, start_origin,
                                    answering(lambda request: reply(b"hello\n")), workers=2)
    assert ask(proxy, url_at(origin, "good.test")).status == 200
    assert ask(proxy, url_at(origin, "ads.test")).status == 403
    text = page(proxy, "/metrics").body.decode()
    names = names_of(text)
    assert len(names) == len(set(name for name, _ in names)) > 30
    assert set(kind for _, kind in names) == {"counter", "gauge"}
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == current
        else:
            assert re.fullmatch(r'[a-z_]+(\{([a-z0-9_]+="[^"]*",?)+\})? [0-9.]+', line), line
            assert re.match(r"[a-z_]+", line).group() == current, line
    for name, kind in names:
        assert name.endswith("_total") == (kind == "counter"), name
    found = metrics_with(proxy, passed=1, blocked=1)
    assert found['dejunk_rules{list="ours"}'] == 1
    assert found['dejunk_config_reloads_total{result="success"}'] == 0
    assert found["dejunk_workers"] == found["dejunk_workers_serving"] == 2
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["process_open_fds"] > 5
    assert "dejunk_build_info" in text and "127.0.0.1" not in text and "good.test" not in text


def test_counters_outlive_workers_and_admin(start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply()))
    proxy = start_proxy(workers=2)
    wait_for_control(proxy)
    for _ in range(20):
        assert ask(proxy, origin.url).status == 200
    metrics_with(proxy, passed=20)
    for pid in workers(proxy.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for("new workers", lambda: status(proxy)["workers"] ==
             {"wanted": 2, "serving": 2, "replaced": 2})
    for _ in range(5):
        assert ask(proxy, origin.url).status == 200
    found = metrics_with(proxy, passed=25)
    assert found["dejunk_worker_restarts_total"] == 2
    assert found['dejunk_connections{side="browser"}'] < 20
    for _ in range(2):  # and admin, which only reads them
        old = admin_pid(proxy)
        os.kill(old, signal.SIGKILL)
        wait_for("another admin", lambda: admin_pid(proxy) not in (None, old))
        wait_for("its pages", lambda: page(proxy, "/healthz").body == b"ok\n")
        metrics_with(proxy, passed=25)
    assert ask(proxy, origin.url).status == 200
    metrics_with(proxy, passed=26)


def test_admin_is_replaced(proxy):
    old = admin_pid(proxy)
    for _ in range(3):
        old = admin_pid(proxy)
        os.kill(old, signal.SIGKILL)
        wait_for("another admin", lambda: admin_pid(proxy) not in (None, old))
        wait_for("its pages", lambda: page(proxy, "/healthz").body == b"ok\n")
    assert b"Processes replaced" in page(proxy, "/").body


def test_without_admin_the_plain_page_is_there(proxy):
    """While admin does not answer, the proxy goes on and says so."""
    pid = admin_pid(proxy)
    os.kill(pid, signal.SIGKILL)
    seen = set()
    for _ in range(20):
        response = page(proxy, "/")
        assert response.status == 200
        seen.add(b"This is dejunk" in response.body)
    assert seen == {True}


def test_rules_and_problems_are_shown(start_proxy, start_origin, tmp_path):
    proxy, _ = start_filtering(start_proxy, tmp_path, start_origin,
                               answering(lambda request: reply()))
    text = page(proxy, "/").body.decode()
    assert "<td>ours</td>" in text and "The last reload" not in text
    proxy.more += '\nlist "<b>" { nonsense = 1 }'
    proxy.write_config()
    os.kill(proxy.pid, signal.SIGHUP)
    text = wait_for("the problem", lambda: (lambda body: "The last reload" in body and body)(
        page(proxy, "/").body.decode()))
    assert "nonsense" in text and "&quot;nonsense&quot;" in text
