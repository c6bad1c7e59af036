"""For the tests of admin/: commands that speak with a running proxy, its pages, its processes."""
import json
import pathlib
import re
import socket
import subprocess
import time

from daemon_house import children, status_of
from house import DEJUNK, Peer, ask, read_response, wait_for

RULES = "||ads.test^\n"


def control_path(proxy):
    return pathlib.Path(proxy.options["runtime_dir"]) / "control.sock"


def command(proxy, *arguments, limit_s=60):
    """(exit code, standard output, standard error) of `dejunk ARGUMENTS` for this proxy."""
    done = subprocess.run([str(DEJUNK), arguments[0], "-c", str(proxy.directory / "proxy.conf"),
                           *arguments[1:]], capture_output=True, text=True, timeout=limit_s,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def status(proxy):
    code, out, err = command(proxy, "status", "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


def is_controlled(proxy):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(control_path(proxy)))
            return True
        except OSError:
            return False


def wait_for_successor(proxy, before):
    """Until another service than that of this status answers at the control socket."""
    def is_there():
        code, out, _ = command(proxy, "status", "--json")  # the old one may go just then
        return code == 0 and json.loads(out)["started"] != before["started"]
    wait_for("the successor", is_there)


def pid_of_successor(proxy):
    return int(wait_for("its line", lambda: re.search(r"pid (\d+) is the service now",
                                                      proxy.log())).group(1))


def wait_for_control(proxy):
    return wait_for("control socket", lambda: is_controlled(proxy))


def admin_pid(proxy):
    return next((one for one in children(proxy.pid) if status_of(one, "Name") == "admin"), None)


def start_filtering(start_proxy, tmp_path, start_origin, script, **options):
    """A proxy with one list of ours, and an origin as ads.test and good.test."""
    rules = tmp_path / "rules.txt"
    rules.write_text(RULES)
    origin = start_origin(script)
    directory = tmp_path / "proxy0"
    directory.mkdir(exist_ok=True)
    (directory / "hosts").write_text("127.0.0.1 ads.test x.ads.test good.test other.test\n")
    proxy = start_proxy('list "ours" { file = "%s" }' % rules,
                        rules_dir=str(tmp_path / "no-rules.d"), private_names=["*.test"], **options)
    wait_for_control(proxy)
    return proxy, origin


def page(proxy, path, headers=(), **how):
    """One of our own pages, asked for in origin-form at the port itself."""
    peer = Peer(proxy.connect())
    lines = ["GET %s HTTP/1.1" % path, "Host: 127.0.0.1:%d" % proxy.port]
    lines += ["%s: %s" % pair for pair in headers]
    try:
        peer.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        return read_response(peer, **how)
    finally:
        peer.sock.close()


def metrics(proxy):
    """{"name{labels}": value}"""
    found = {}
    for line in page(proxy, "/metrics").body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name not in found, name
            found[name] = float(value)
    return found


def metrics_with(proxy, **requests):
    """The metrics, when so many requests are counted by action; a worker counts an exchange after
    its last byte has gone out."""
    keys = {'dejunk_requests_total{action="%s"}' % action: count for action, count in requests.items()}

    def counted():
        found = metrics(proxy)
        return found if all(found[key] == count for key, count in keys.items()) else None
    return wait_for("%s in the metrics" % requests, counted)


def url_at(origin, host, path="/"):
    return "http://%s:%d%s" % (host, origin.port, path)


def fetches(proxy, origin, host, times=1):
    """The statuses of `times` requests, each on a connection of its own, for a script."""
    return [ask(proxy, url_at(origin, host, "/x.js"), headers=[("Sec-Fetch-Dest", "script"),
                                                               ("Sec-Fetch-Site", "cross-site")]).status
            for _ in range(times)]


def fetches_until(proxy, origin, host, end):
    """The statuses of requests as above that ended before the moment."""
    found = []
    while True:
        got = fetches(proxy, origin, host)
        if time.monotonic() >= end:
            return found
        found += got


def names_of(text):
    return re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
