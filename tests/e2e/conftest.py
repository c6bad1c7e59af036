"""Fixtures: start_proxy, start_serving, start_nginx, start_origin, origin, start_names, fetch,
in_own_network. What they start ends with the test, the proxy in order: its exit code is 0 and its
log has no report of a sanitizer."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon_house import wait_for_log  # noqa: E402
from fetch_house import Fetch  # noqa: E402
from house import (REPORT, TOP, NameServer, Nginx, Origin, Proxy, answering,  # noqa: E402
                   reply)


def stop_in_order(proxy):
    code = proxy.stop()
    log = proxy.log()
    sys.stdout.write("---- log of the proxy\n%s\n" % log[-20000:])  # shown when the test fails
    assert not REPORT.search(log), REPORT.search(log).group()
    assert code == 0, "the proxy ended with %s" % code


@pytest.fixture
def start_proxy(tmp_path):
    started = []

    def start(more="", **options):
        proxy = Proxy(tmp_path / ("proxy%d" % len(started)), more, **options)
        started.append(proxy)
        return proxy.start()
    yield start
    for proxy in started:
        stop_in_order(proxy)


@pytest.fixture
def start_serving(start_proxy):
    """A proxy whose processes have all begun, not just a worker that answers."""
    def start(**options):
        proxy = start_proxy(**options)
        wait_for_log(proxy, "master: serves")
        return proxy
    return start


@pytest.fixture
def start_nginx(tmp_path):
    started = []

    def start(more=""):
        nginx = Nginx(tmp_path / ("nginx%d" % len(started)), more)
        started.append(nginx)
        return nginx.start()
    yield start
    for nginx in started:
        nginx.stop()


@pytest.fixture
def start_origin():
    started = []

    def start(script, **how):
        origin = Origin(script, **how)
        started.append(origin)
        return origin
    yield start
    for origin in started:
        origin.stop()


@pytest.fixture
def origin(start_origin):
    """One that answers everything with "ok"."""
    return start_origin(answering(lambda request: reply()))


@pytest.fixture
def start_names():
    started = []

    def start(names, **how):
        server = NameServer(names, **how)
        started.append(server)
        return server
    yield start
    for server in started:
        server.stop()


@pytest.fixture
def fetch(tmp_path):
    return Fetch(tmp_path)


@pytest.fixture
def in_own_network():
    """Runs a script of this directory in a network namespace of its own. Where there are none, or
    the script says by 77 that it cannot have its network, the test is skipped."""
    def run(script, *arguments):
        try:
            done = subprocess.run(["unshare", "-rn", sys.executable, str(TOP / "tests/e2e" / script),
                                   *map(str, arguments)], cwd=TOP, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                                  text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no unshare here")
        if done.returncode == 77 or done.stdout.startswith("unshare:"):
            pytest.skip("no such network here: " + done.stdout)
        assert done.returncode == 0, done.stdout
    return run
