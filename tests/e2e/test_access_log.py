"""The access log: what is in it, what never is; opened anew; full or slow, it stalls nobody."""
import json
import os
import re
import signal

import pytest
from daemon_house import wait_for_log
from house import Peer, answering, ask, read_response, reply, wait_for

ANSWER = answering(lambda request: reply(b"hello\n"))
COMBINED = re.compile(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                      r'"(\S+) (\S+) HTTP/1\.[01]" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"')


def lines_of(path, count):
    return wait_for("%d lines" % count, lambda: path.exists() and
                    len(path.read_text().splitlines()) >= count and path.read_text().splitlines())


def test_combined(start_proxy, start_origin, tmp_path):
    origin, log = start_origin(ANSWER), tmp_path / "access.log"
    proxy = start_proxy(access_log="combined", access_log_file=str(log))
    ask(proxy, origin.url + "/a?token=1", headers=[
        ("Referer", "http://u:pw@b.example/x?key=2"), ("User-Agent", 'Mo"z\\'),
        ("Cookie", "sid=3"), ("Authorization", "Basic NA==")])
    ask(proxy, "http://127.0.0.1:1/")
    line, refused = lines_of(log, 2)
    assert COMBINED.match(refused).group(3) in ("502", "403")
    assert line.endswith('"GET %s/a HTTP/1.1" 200 6 "http://b.example/x" "Mo\\"z\\\\"' % origin.url)
    for secret in ("token", "pw", "key", "sid", "NA=="):
        assert secret not in log.read_text()


def test_json_lines_and_tunnels(start_proxy, start_origin, tmp_path):
    origin, log = start_origin(ANSWER), tmp_path / "access.log"
    proxy = start_proxy(access_log="json", access_log_file=str(log))
    ask(proxy, origin.url + "/\xe4?x")
    peer = Peer(proxy.connect())
    peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % origin.port)
    assert read_response(peer, "CONNECT").status == 200
    peer.send(b"\x16")  # no HTTP
    lines_of(log, 1)
    peer.sock.close()
    first, tunnel = [json.loads(line) for line in lines_of(log, 2)]
    assert list(first) == ["time", "client", "user", "method", "url", "protocol", "status", "bytes",
                           "duration", "action", "type", "rule", "referer", "agent"]
    assert first["status"] == 200 and first["bytes"] == 6 and first["action"] == "passed"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert tunnel["method"] == "CONNECT" and tunnel["action"] == "tunneled"
    assert tunnel["url"] == "127.0.0.1:%d" % origin.port and tunnel["bytes"] >= 1
    assert list(tunnel) == list(first)


def test_http_inside_a_tunnel_is_logged_whole(start_proxy, start_origin, tmp_path):
    origin, log = start_origin(ANSWER), tmp_path / "access.log"
    proxy = start_proxy(access_log="json", access_log_file=str(log))
    peer = Peer(proxy.connect())
    peer.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % origin.port)
    assert read_response(peer, "CONNECT").status == 200
    peer.send(b"GET /in?x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % origin.port)
    assert read_response(peer).status == 200
    peer.sock.close()
    urls = [json.loads(line)["url"] for line in lines_of(log, 2)]
    assert origin.url + "/in" in urls


def test_opened_anew_and_switched_off(start_proxy, start_origin, tmp_path):
    origin, log = start_origin(ANSWER), tmp_path / "access.log"
    proxy = start_proxy(access_log="combined", access_log_file=str(log), workers=2)
    ask(proxy, origin.url + "/1")
    lines_of(log, 1)
    log.rename(tmp_path / "old.log")
    os.kill(proxy.pid, signal.SIGUSR1)
    wait_for_log(proxy, "logs are open anew")
    wait_for("a line in the new file", lambda: ask(proxy, origin.url + "/2") and log.exists() and
             "/2 " in log.read_text())
    assert "/1 " not in log.read_text()


@pytest.mark.parametrize("kind", ["pipe", "full"])
def test_a_log_that_takes_nothing_stalls_nobody(start_proxy, start_origin, tmp_path, kind):
    origin = start_origin(ANSWER)
    path, reader = "/dev/full", None
    if kind == "pipe":
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    proxy = start_proxy(access_log="combined", access_log_file=path)
    peer = Peer(proxy.connect())
    for i in range(600):
        response = ask(proxy, origin.url + "/" + "x" * 900, peer=peer)
        assert response.status == 200 and response.seconds < 20, i
    peer.sock.close()
    if reader is not None:
        os.close(reader)
