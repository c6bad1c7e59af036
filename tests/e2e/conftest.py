"""Fixtures: start_proxy, start_nginx, start_origin, start_names, fetch. What they start ends with
the test, the proxy in order: its exit code is 0 and its log has no report of a sanitizer."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fetch_house import Fetch  # noqa: E402
from house import REPORT, NameServer, Nginx, Origin, Proxy  # noqa: E402


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
