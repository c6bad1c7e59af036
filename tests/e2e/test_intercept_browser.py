"""Debian's Chromium with our authority in its database, over HTTPS that is looked into: a page with
everything on it works, nothing is said about certificates, and ads on other hosts are answered inside."""
import hashlib
import shutil

import pytest
from browser import PROGRAM, Browser
from codings import coded
from house import answering, free_port, reply, wait_for
from intercept_house import Authority, hello, own_root, secure
from test_browser import PAGE, UPLOAD_BYTES, assert_prompt, live_script, png
from test_news_page import NGINX, PIXEL, POLICY, RULES, SCRIPT, STYLE, look, page

pytestmark = pytest.mark.skipif(not PROGRAM or not shutil.which("certutil"),
                                reason="no chromium or certutil here")

WORKER = b"""self.addEventListener('install', event => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(clients.claim()));
self.addEventListener('fetch', event => {
    if (event.request.url.endsWith('/by-worker'))
        event.respondWith(new Response('the worker says so'));
});
"""
WITH_WORKER = """(async () => {
    await navigator.serviceWorker.register('/worker.js');
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller)
        await new Promise(done => navigator.serviceWorker.oncontrollerchange = done);
    return await (await fetch('/by-worker')).text();
})()"""

ADS = """<!doctype html><title>news</title><p id=text>the news</p>
<script src=https://ads.test:%(port)d/ad.js></script>
<img id=pixel src=https://ads.test:%(port)d/pixel.png>
<iframe src=https://ads.test:%(port)d/frame.html></iframe>
<script>fetch('https://ads.test:%(port)d/count', {mode: 'no-cors'}).catch(() => 0);</script>
"""


@pytest.fixture
def house(tmp_path, start_proxy, start_nginx, start_origin):
    class House:
        """page.test is nginx, live.test and ads.test are scripts; all over TLS, all through the proxy."""
        origins = Authority(tmp_path / "origins")
        port = free_port()
        leaf = origins.leaf("DNS:page.test")
        nginx = start_nginx("listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;"
                            % (port, leaf, leaf))
        page = "https://page.test:%d" % port
        live = start_origin(secure(origins.server("DNS:live.test"), live_script))
        ads = start_origin(secure(origins.server("DNS:ads.test"), hello(b"window.adRan = 1")))

        def start(self, rules="", **options):
            (tmp_path / "hosts").write_text("127.0.0.1 page.test live.test ads.test bad.test\n")
            (tmp_path / "rules.txt").write_text(rules)
            options.setdefault("intercept", "all")
            return start_proxy('list "ours" { file = "%s" }' % (tmp_path / "rules.txt"),
                               extra_ca=[str(self.origins.root)], hosts_file=str(tmp_path / "hosts"),
                               rules_dir=str(tmp_path), **options)

        def browse(self, proxy):
            return Browser(tmp_path / "browser", proxy, trusts=own_root(proxy))
    return House()


def test_page_with_everything_over_https(house):
    live = "https://live.test:%d" % house.live.port
    for name, data in (("index.html", PAGE.replace("'http:', 'ws:'", "'https:', 'wss:'").encode()),
                       ("style.css", b"#styled { color: rgb(1, 2, 3) }"),
                       ("script.js", b"window.scriptRan = 'yes';"), ("worker.js", WORKER),
                       ("one.png", png(3, 5)), ("two.png", png(30, 50)),
                       ("favicon.ico", png(1, 1)), ("secret.txt", b"the secret\n")):
        (house.nginx.www / name).write_bytes(data)
    block = bytes((i * 31 >> 3) & 255 for i in range(1 << 20))
    proxy = house.start()
    browser = house.browse(proxy)
    try:
        assert browser.visit("%s/index.html#%s" % (house.page, live)) is None
        got = browser.evaluate("everything()")
        assert got["upload"] == hashlib.sha256(block * (UPLOAD_BYTES >> 20)).hexdigest()
        assert got["webSocket"] == [1000, True, True]
        assert_prompt(browser, got["late"])
        assert got["images"] == [[True, 3, 5], [True, 30, 50]] and got["script"] == "yes"
        assert got["style"] == "rgb(1, 2, 3)"
        assert got["range"] == [206, "bytes 8-15/%d" % len(png(30, 50)), [*png(30, 50)[8:16]]]
        assert browser.evaluate(WITH_WORKER) == "the worker says so"
        assert browser.visit(house.page.replace("//", "//ann:pass%20word@") + "/private/secret.txt") is None
        assert browser.evaluate("document.body.innerText").strip() == "the secret"
        assert browser.console == []
    finally:
        browser.stop()
    assert "is passed through" not in proxy.log()


@pytest.mark.parametrize("kind", ["plain", "zip"])
def test_a_news_page_is_edited_over_https(tmp_path, start_proxy, start_nginx, start_origin, kind):
    """As in test_news_page.py."""
    origins = Authority(tmp_path / "origins")
    ads = start_origin(secure(origins.server("DNS:ads.example"), answering(lambda _: reply(b"ad"))))
    leaf, port, www = origins.leaf("DNS:news.example"), free_port(), tmp_path / "nginx0" / "www"
    nginx = start_nginx("listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;" % (
        port, leaf, leaf) + NGINX % {"www": www, "policy": POLICY.replace("http:", "https:")})
    for folder in ("plain", "latin", "br", "zip", "banners"):
        (www / folder).mkdir()
    for name, data in (("style.css", STYLE.encode()), ("late.js", SCRIPT.encode()), ("icon.png", PIXEL),
                       ("banners/ad.png", PIXEL)):
        (www / name).write_bytes(data)
    for name, with_ads in (("ads.html", True), ("clean.html", False)):
        text = (page(ads.port, with_ads) % {"charset": ""}).replace("http:", "https:").encode()
        (nginx.www / kind / name).write_bytes(coded("gzip", text) if kind == "zip" else text)
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "own.txt").write_text(RULES)
    (tmp_path / "hosts").write_text("127.0.0.1 news.example ads.example\n")
    proxy = start_proxy(intercept="all", extra_ca=[str(origins.root)],
                        hosts_file=str(tmp_path / "hosts"), rules_dir=str(tmp_path / "rules.d"))
    browser = Browser(tmp_path / "browser", proxy, trusts=own_root(proxy))
    try:
        base = "https://news.example:%d/%s/" % (port, kind)
        want = look(browser, base + "clean.html")
        assert look(browser, base + "ads.html") == want
        assert ads.requests == [] and browser.console == []
        assert not any("/banners/" in url for url, *_ in browser.requests.values())
    finally:
        browser.stop()


def test_ads_on_other_hosts_are_answered_inside(house):
    (house.nginx.www / "index.html").write_text(ADS % {"port": house.ads.port})
    proxy = house.start("||ads.test^\n||ads.test^$script,redirect=noop.js\n",
                        remove_blocked=False)  # so that the browser asks
    browser = house.browse(proxy)
    try:
        assert browser.visit(house.page + "/index.html") is None
        assert browser.evaluate("text.innerText") == "the news"
        assert browser.evaluate("window.adRan") is None
        assert browser.evaluate("[pixel.complete, pixel.naturalWidth]") == [True, 1]
        ads = {url.rpartition("/")[2]: status for url, kind, status in browser.requests.values()
               if "ads.test" in url}
        assert ads["ad.js"] == 200 and ads["pixel.png"] == 200 and ads["frame.html"] == 200, ads
        wait_for("answer to the fetch", lambda: [status for url, _, status in browser.requests.values()
                                                 if url.endswith("/count")] == [403])
        # The page itself is stopped, and says so; then one goes on anyway.
        assert browser.visit("https://ads.test:%d/page" % house.ads.port) is None
        assert "ads.test" in browser.evaluate("document.body.innerText")
        assert house.ads.accepted == 0
        browser.evaluate("setTimeout(() => document.querySelector('button').click()), 0")
        wait_for("the page behind", lambda: "adRan" in browser.evaluate("document.body.innerText"))
        assert browser.evaluate("location.href") == "https://ads.test:%d/page" % house.ads.port
    finally:
        browser.stop()


def test_a_bad_certificate_is_warned_of_by_the_browser(house, tmp_path, start_origin):
    others = Authority(tmp_path / "others", "somebody else")
    bad = start_origin(secure(others.server("DNS:bad.test"), hello()))
    proxy = house.start()
    browser = house.browse(proxy)
    try:
        assert browser.visit("https://bad.test:%d/" % bad.port) == "net::ERR_CERT_AUTHORITY_INVALID"
        assert browser.visit("https://bad.test:%d/" % free_port()) is None
        assert browser.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 502
    finally:
        browser.stop()
