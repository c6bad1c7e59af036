"""Bodies that rules change, on their way: codings, fields that stay true, caches, what is left alone,
bombs and damage, large pages, and what a browser sees when it goes wrong."""
import gzip
import re
import subprocess
import threading
import zlib

import pytest
from admin_house import status, wait_for_control
from codings import coded, field_of
from daemon_house import reload, wait_for_log, workers
from intercept_house import Authority, fetch, own_root, secure
from house import Growth, Peer, answering, ask, read_request, read_response, reply, wait_for

PAGE = [("Accept", "text/html"), ("Accept-Encoding", "gzip, deflate, br, zstd")]
AD = b'<div class="ad"><img src="/ad.png"></div>'
START = b"<!DOCTYPE html><html><head><title>News</title></head><body><p>one</p>\n"
END = b"<p>two</p>\n</body></html>\n"
HTML = START + AD + END
STRIPPED = START + END
RULES = "news.example##^.ad\n@@||news.example^$generichide\n"


# ---- the house ---------------------------------------------------------------------------------------

@pytest.fixture
def start(tmp_path, start_proxy):
    """A proxy with these rules; the list is trusted when asked for."""
    def started(rules=RULES, more="", trusted=False, **options):
        own = tmp_path / "none.d"
        own.mkdir(exist_ok=True)
        path = tmp_path / "list.txt"
        path.write_text(rules)
        (tmp_path / "hosts.txt").write_text("127.0.0.1 news.example plain.example\n")
        text = 'list "ours" { file = "%s" trusted = %s }\n%s' % (path, "yes" if trusted else "no", more)
        options = {"strip": "remove", "rules_dir": str(own), "hosts_file": str(tmp_path / "hosts.txt"), **options}
        proxy = start_proxy(text, **options)
        proxy.list = path
        return proxy
    return started


def serving(body, headers=(("Content-Type", "text/html; charset=utf-8"),), status="200 OK"):
    return answering(lambda request: reply(body, status, headers))


def page(proxy, origin, path="/", headers=PAGE, **how):
    got = ask(proxy, "http://news.example:%d%s" % (origin.port, path), headers=headers, **how)
    if "content-encoding" not in got.fields:
        got.body = without_ours(got.body)
    return got


def without_ours(body):
    """What rules put in is not looked at here, only what they leave."""
    return re.sub(rb"<(style|script)>.*?</\1>", b"", body, flags=re.S)


def html_in(coding, **fields):
    out = [("Content-Type", "text/html; charset=utf-8")]
    if coding:
        out.append(("Content-Encoding", coding))
    return out + [(name.replace("_", "-"), value) for name, value in fields.items()]


# ---- codings -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br", "zstd", "gzip+br", "raw+zstd"])
def test_a_page_in_every_coding(start, start_origin, coding):
    proxy = start()
    origin = start_origin(serving(coded(coding, HTML), html_in(field_of(coding))))
    got = page(proxy, origin)
    assert got.is_complete and got.status == 200
    assert got.body == STRIPPED
    assert "content-encoding" not in got.fields and "content-length" not in got.fields
    assert got.fields["transfer-encoding"] == "chunked"


def test_what_cannot_be_undone_is_not_asked_for(start, start_origin):
    proxy = start()
    origin = start_origin(serving(HTML))
    page(proxy, origin, headers=[("Accept", "text/html"), ("Accept-Encoding", "gzip;q=0.5, dcb, br, *")])
    assert origin.requests[-1].fields["accept-encoding"] == "gzip;q=0.5, br"
    page(proxy, origin, headers=[("Accept", "text/html"), ("Accept-Encoding", "dcb, dcz")])
    assert origin.requests[-1].fields["accept-encoding"] == "identity"
    page(proxy, origin, headers=[("Accept", "text/html")])
    assert "accept-encoding" not in origin.requests[-1].fields
    page(proxy, origin, "/x.png", headers=[("Accept", "image/*"), ("Accept-Encoding", "dcb, *")])
    assert origin.requests[-1].fields["accept-encoding"] == "dcb, *"  # nobody changes those


def test_a_browser_that_takes_it_only_compressed(start, start_origin):
    proxy = start(recode="zstd")
    body = START + AD + b"<p>words and more words</p>" * 4000 + END
    origin = start_origin(serving(gzip.compress(body), html_in("gzip")))
    for accepts, coding in (("gzip, identity;q=0", "gzip"), ("gzip, zstd, *;q=0", "zstd"),
                            ("zstd;q=0, gzip;q=0.1, identity;q=0.0", "gzip")):
        got = page(proxy, origin, headers=[("Accept", "text/html"), ("Accept-Encoding", accepts)])
        assert got.fields["content-encoding"] == coding and got.fields["vary"] == "Accept-Encoding"
        assert len(got.body) < 5000 and got.is_complete
        if coding == "gzip":
            assert without_ours(gzip.decompress(got.body)) == body.replace(AD, b"")
    got = page(proxy, origin, headers=[("Accept", "text/html"), ("Accept-Encoding", "br, *;q=0")])
    assert got.fields["content-encoding"] == "gzip" and gzip.decompress(got.body) == body  # as it came


def test_curl_takes_what_nginx_has_compressed(start, start_nginx, tmp_path):
    nginx = start_nginx()
    (nginx.www / "page.html").write_bytes(HTML * 50)
    proxy = start()
    got = subprocess.run(["curl", "-sS", "--compressed", "-x", proxy.url, "-H", "Accept: text/html",
                          nginx.url.replace("127.0.0.1", "news.example") + "/gz/page.html"],
                         check=True, capture_output=True, timeout=30).stdout
    assert without_ours(got) == STRIPPED * 50


def test_http_1_0_gets_it_until_close(start, start_origin):
    proxy = start()
    origin = start_origin(serving(gzip.compress(HTML), html_in("gzip")))
    peer = Peer(proxy.connect())
    peer.send(b"GET http://news.example:%d/ HTTP/1.0\r\nHost: news.example\r\nAccept: text/html\r\n"
              b"Accept-Encoding: gzip\r\n\r\n" % origin.port)
    got = read_response(peer)
    assert "transfer-encoding" not in got.fields and without_ours(got.body) == STRIPPED and got.is_complete


def test_many_pages_on_one_connection(start, start_origin):
    proxy = start()
    origin = start_origin(serving(gzip.compress(HTML), html_in("gzip")))
    peer = Peer(proxy.connect())
    for _ in range(50):
        got = page(proxy, origin, peer=peer)
        assert got.body == STRIPPED and got.is_complete
    assert origin.accepted == 1


# ---- fields ------------------------------------------------------------------------------------------

def test_fields_stay_true(start, start_origin):
    proxy = start()
    origin = start_origin(serving(HTML, html_in(
        None, ETag='"e"', Accept_Ranges="bytes", Digest="sha-256=x", Content_Digest="sha-256=:x:",
        Repr_Digest="sha-256=:x:", Content_MD5="x", Last_Modified="Sat, 21 Nov 2026 06:00:00 GMT",
        Set_Cookie="a=b")))
    got = page(proxy, origin).fields
    assert got["etag"].startswith('W/"e-dj') and got["accept-ranges"] == "none"
    assert got["last-modified"] == "Sat, 21 Nov 2026 06:00:00 GMT" and got["set-cookie"] == "a=b"
    for gone in ("digest", "content-digest", "repr-digest", "content-md5", "content-length"):
        assert gone not in got


def test_what_a_field_would_fetch(start, start_origin):
    proxy = start(RULES + "||plain.example^\n")
    link = "<//plain.example/x.js>; rel=preload; as=script, </own.css>; rel=preload; as=style"

    def answer(request):
        fields = html_in(None, ETag='"v1"', Link=link)
        if "if-none-match" in request.fields:
            return ("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nLink: %s\r\n\r\n" % link).encode()
        return reply(HTML, headers=fields)
    origin = start_origin(answering(answer))
    got = page(proxy, origin)
    assert got.fields["link"] == "</own.css>; rel=preload; as=style"
    got = page(proxy, origin, headers=[*PAGE, ("If-None-Match", got.fields["etag"])])
    assert got.status == 304 and got.fields["link"] == "</own.css>; rel=preload; as=style"


LEFT_ALONE = [
    ("no-transform", {"headers": html_in(None, Cache_Control="private, no-transform")}),
    ("a part", {"headers": html_in(None, Content_Range="bytes 0-%d/900" % (len(HTML) - 1)),
                "status": "206 Partial Content"}),
    ("a download", {"headers": html_in(None, Content_Disposition='attachment; filename="x.html"')}),
    ("no page", {"headers": [("Content-Type", "text/plain")]}),
    ("XML", {"headers": [("Content-Type", "application/xhtml+xml")]}),
    ("events", {"headers": [("Content-Type", "text/event-stream")]}),
    ("a signed exchange", {"headers": [("Content-Type", "application/signed-exchange;v=b3")]}),
    ("UTF-16", {"headers": [("Content-Type", "text/html; charset=utf-16le")]}),
    ("ISO-2022-JP", {"headers": [("Content-Type", 'text/html; charset="iso-2022-jp"')]}),
    ("UTF-7", {"headers": [("Content-Type", "text/html;x=y; charset=UTF-7")]}),
    ("a feed that says it is a page", {"body": b"<rss>" + AD}),
    ("XML that says it is a page", {"body": b"<?xml version='1.0'?><items>" + AD}),
    ("an unknown coding", {"headers": html_in("compress")}),
    ("three codings", {"headers": html_in("gzip, br, zstd")}),
    ("JSON that says it is a page", {"body": b'{"html": "%s"}' % AD}),
    ("bytes that say they are a page", {"body": b"\x89PNG\r\n\x1a\n\0\0" + AD}),
    ("nothing", {"body": b""}),
    ("blanks", {"body": b" \n"}),
    ("gzip that is none", {"headers": html_in("gzip")}),
    ("gzip that begins badly", {"body": gzip.compress(HTML)[:12] + b"\xff" * 300, "headers": html_in("gzip")}),
]


@pytest.mark.parametrize("what", [row[1] for row in LEFT_ALONE], ids=[row[0] for row in LEFT_ALONE])
def test_left_alone(start, start_origin, what):
    proxy = start()
    body, headers = what.get("body", HTML), what.get("headers", html_in(None))
    headers = [*headers, ("ETag", '"e"'), ("Accept-Ranges", "bytes")]
    origin = start_origin(serving(body, headers, what.get("status", "200 OK")))
    got = page(proxy, origin)
    assert got.body == body and got.is_complete
    assert got.fields["content-length"] == str(len(body))
    for name, value in headers:
        assert got.fields[name.lower()] == value


def test_left_alone_by_request(start, start_origin):
    proxy = start(more='site "plain.example" { filter = no }')
    origin = start_origin(serving(HTML, html_in(None, ETag='"e"')))

    def is_left(host="news.example", method="GET", headers=PAGE):
        got = ask(proxy, "http://%s:%d/" % (host, origin.port), method, headers)
        return got.fields["etag"] == '"e"' and got.fields["content-length"] == str(len(HTML))
    assert not is_left()
    assert is_left(host="plain.example")
    assert is_left(headers=[("Accept", "*/*"), ("Referer", "http://news.example/")])  # fetch()
    assert is_left(headers=[*PAGE, ("X-Requested-With", "XMLHttpRequest")])
    assert is_left(headers=[*PAGE, ("Cache-Control", "no-transform")])


@pytest.mark.parametrize("exception, has_script", [
    ("", True),
    ("@@||news.example^$jsinject\n", False),
    ("@@||plain.example^$jsinject\n", True),
    ("@@||news.example^$generichide\n", False),
], ids=["none", "jsinject", "jsinject, elsewhere", "generichide"])
def test_pages_that_get_no_script(start, start_origin, exception, has_script):
    proxy = start("##.ad\n##.late\n" + exception, strip="hide")
    origin = start_origin(serving(HTML, html_in(None, Content_Security_Policy="script-src 'self'")))
    got = ask(proxy, "http://news.example:%d/" % origin.port, headers=PAGE)
    assert (b"<script>" in got.body) == has_script
    assert ("sha256-" in got.fields["content-security-policy"]) == has_script
    assert (b"hidden=" in got.body) == ("generichide" not in exception)  # what is there is hidden anyway


def test_head_is_left_alone(start, start_origin):
    proxy = start()

    def script(origin, peer):
        while True:
            origin.seen(read_request(peer))
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nETag: \"e\"\r\n\r\n")
    origin = start_origin(script)
    got = page(proxy, origin, method="HEAD")
    assert got.fields["content-length"] == "9" and got.fields["etag"] == '"e"'


# ---- caches ------------------------------------------------------------------------------------------

@pytest.fixture
def cached(start_origin):
    """An origin that knows one version of its page."""
    def answer(request):
        fields = html_in(None, ETag='"v1"', Content_Security_Policy="default-src 'self'")
        if request.fields.get("if-none-match") == '"v1"':
            return ("HTTP/1.1 304 Not Modified\r\n" +
                    "".join("%s: %s\r\n" % pair for pair in fields[1:]) + "\r\n").encode()
        return reply(HTML, headers=fields)
    return start_origin(answering(answer))


def test_what_is_cached_is_good_until_the_rules_change(start, cached):
    proxy = start(RULES + "news.example##^.late\n")

    def asked_anew(tag):
        got = page(proxy, cached, headers=[*PAGE, ("If-None-Match", tag)])
        return got if got.status == 200 else None
    first = page(proxy, cached)
    tag = first.fields["etag"]
    again = page(proxy, cached, headers=[*PAGE, ("If-None-Match", tag)])
    assert again.status == 304 and cached.requests[-1].fields["if-none-match"] == '"v1"'
    assert again.fields["etag"] == tag
    assert again.fields["content-security-policy"] == first.fields["content-security-policy"]

    proxy.list.write_text(RULES + "news.example##^p\n")
    reload(proxy)
    changed = wait_for("page by the new rules", lambda: asked_anew(tag), 10)
    assert "if-none-match" not in cached.requests[-1].fields
    assert b"one" not in changed.body and changed.fields["etag"] != tag


def test_what_was_cached_before_is_asked_for_anew(start, cached):
    proxy = start()
    old = [*PAGE, ("If-None-Match", '"v1"'), ("If-Modified-Since", "Sat, 21 Nov 2026 06:00:00 GMT")]
    got = page(proxy, cached, headers=old)
    assert got.status == 200 and b"class" not in got.body
    assert "if-modified-since" not in cached.requests[-1].fields


def test_a_part_of_an_edited_page_is_no_part_of_the_origins(start, cached):
    proxy = start()
    tag = page(proxy, cached).fields["etag"]
    got = page(proxy, cached, headers=[*PAGE, ("Range", "bytes=9-"), ("If-Range", tag)])
    assert got.status == 200 and "range" not in cached.requests[-1].fields
    page(proxy, cached, headers=[*PAGE, ("Range", "bytes=9-"), ("If-Range", '"v1"')])
    assert cached.requests[-1].fields["range"] == "bytes=9-"


def test_unfiltered_hosts_are_not_served_what_was_edited(start, cached):
    proxy = start()
    tag = page(proxy, cached).fields["etag"]
    proxy.stop()
    proxy = start(more='site "news.example" { filter = no }')
    got = page(proxy, cached, headers=[*PAGE, ("If-None-Match", tag)])
    assert got.status == 200 and got.body == HTML
    assert page(proxy, cached, headers=[*PAGE, ("If-None-Match", '"v1"')]).status == 304


# ---- texts that rules name -----------------------------------------------------------------------------

REPLACE = "||news.example^$replace=/secret/public/g\n||news.example^*/x.json$jsonprune=ads\n"


@pytest.mark.parametrize("trusted", [True, False])
def test_replace(start, start_nginx, trusted):
    nginx = start_nginx()
    (nginx.www / "a.js").write_bytes(b"var a = 'secret';\n" * 1000)
    proxy = start(REPLACE, trusted=trusted)
    got = subprocess.run(["curl", "-sS", "--compressed", "-x", proxy.url, "-H", "Referer: http://news.example/",
                          nginx.url.replace("127.0.0.1", "news.example") + "/gz/a.js"],
                         check=True, capture_output=True, timeout=30).stdout
    assert got == b"var a = '%s';\n" % (b"public" if trusted else b"secret") * 1000


SCRIPT = [("Accept", "*/*"), ("Referer", "http://news.example/")]


def test_replace_leaves_alone_what_is_too_long(start, start_origin):
    proxy = start(REPLACE, trusted=True)

    def changed(size):
        body = b"secret".ljust(size, b"x")
        got = page(proxy, start_origin(serving(body, [("Content-Type", "text/javascript")])), "/a.js", headers=SCRIPT)
        assert got.is_complete and got.body in (body, body.replace(b"secret", b"public"))
        return got.body != body
    assert changed(4 << 20)
    assert not changed((4 << 20) + 1)
    wait_for_log(proxy, "too long for rules that need all of it")
    assert "replace=/secret/public/g" in proxy.log()


def test_only_so_many_rules_change_one_text(start, start_origin):
    proxy = start("".join("||news.example^$replace=/<%d>/-/\n" % number for number in range(33)), trusted=True)
    body = b"".join(b"<%d>" % number for number in range(33))
    origin = start_origin(serving(body, [("Content-Type", "text/javascript")]))
    assert page(proxy, origin, "/a.js", headers=SCRIPT).body == b"-" * 32 + b"<32>"


def test_a_rule_that_a_text_makes_cost_much(start, start_origin):
    rules = "".join("||news.example^$replace=/a[^x]*[%s]/z/\n" % last for last in ("yz", "uv", "st", "qr"))
    proxy = start(rules, trusted=True)
    body = b"a" * (4 << 20)
    large = start_origin(serving(body, [("Content-Type", "text/html")]))
    got, grown = beside_neighbours(proxy, large, start_origin(serving(HTML)))
    assert got.is_complete and got.body == body
    assert grown < 40 << 20
    wait_for_log(proxy, "a rule ran into a limit and changed nothing")
    assert "rule=||news.example^$replace=/a" in proxy.log()


# ---- streaming -----------------------------------------------------------------------------------------

def test_each_part_goes_on_at_once(start, start_origin):
    proxy = start()
    arrived = threading.Event()

    def script(origin, peer):
        origin.seen(read_request(peer))
        coder = zlib.compressobj(6, zlib.DEFLATED, 31)
        parts = [START, AD + b"<p>three</p>", END]
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for part in parts:
            data = coder.compress(part) + coder.flush(zlib.Z_SYNC_FLUSH)
            peer.send(b"%x\r\n%s\r\n" % (len(data), data))
            assert arrived.wait(10)
            arrived.clear()
        data = coder.flush()
        peer.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
    origin = start_origin(script)
    peer = Peer(proxy.connect())
    peer.send(b"GET http://news.example:%d/ HTTP/1.1\r\nHost: news.example:%d\r\nAccept: text/html\r\n"
              b"Accept-Encoding: gzip\r\n\r\n" % (origin.port, origin.port))
    peer.read_head()
    seen = b""
    for mark in (b"<p>one</p>", b"<p>three</p>", b"<p>two</p>"):
        while mark not in seen:
            seen += peer.some(100000)
        arrived.set()
    assert b"class" not in seen


def test_a_browser_that_reads_slowly_holds_nothing_up(start, start_origin):
    proxy = start()
    body = START + b"<p>words of some length</p>\n" * 1500000 + END
    large = start_origin(serving(gzip.compress(body, 1), html_in("gzip")))
    small = start_origin(serving(HTML))
    peers = [Peer(proxy.connect()) for _ in range(10)]
    with Growth(workers(proxy.pid)[0]) as growth:
        for peer in peers:
            peer.send(b"GET http://news.example:%d/ HTTP/1.1\r\nHost: news.example\r\nAccept: text/html\r\n"
                      b"Accept-Encoding: gzip\r\n\r\n" % large.port)
            peer.read_head()
        for _ in range(100):
            assert page(proxy, small).body == STRIPPED
    assert growth.bytes < 24 << 20, growth.bytes
    for peer in peers:
        peer.close()


def test_a_page_inside_https(start, start_origin, tmp_path):
    origins = Authority(tmp_path / "origins")
    proxy = start(intercept="all",
                  extra_ca=[str(origins.root)])
    context = origins.server("DNS:news.example", protocols=["http/1.1"])
    body = START + AD + b"<p>words of the day</p>" * 40000 + END
    origin = start_origin(secure(context, serving(gzip.compress(body), html_in("gzip", ETag='"e"'))))
    got = fetch(proxy, own_root(proxy), "news.example", origin.port, headers=PAGE)
    assert without_ours(got.body) == body.replace(AD, b"") and got.is_complete
    assert got.fields["etag"].startswith('W/"e-dj')
    cut = start_origin(secure(context, serving(gzip.compress(body)[:-30], html_in("gzip"))))
    got = fetch(proxy, own_root(proxy), "news.example", cut.port, headers=PAGE)
    assert not got.is_complete


# ---- damage ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("coding, how", [
    ("gzip", "cut short"), ("deflate", "cut short"), ("br", "cut short"), ("zstd", "cut short"),
    ("gzip", "damaged"), ("deflate", "damaged"), ("br", "damaged"), ("zstd", "damaged")])
def test_damage_is_seen(start, start_origin, coding, how):
    proxy = start()
    words = b"".join(b"<p>%x</p>" % (i * 2654435761 % 2**32) for i in range(20000))
    data = coded(coding, START + words + END)
    data = data[:-20] if how == "cut short" else data[:len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40:]
    origin = start_origin(serving(data, html_in(coding)))
    got = page(proxy, origin)
    assert not got.is_complete
    assert got.body.startswith(START[:20]) and len(got.body) < len(START + words + END) + 1
    wait_for_log(proxy, "cannot be decoded")
    assert page(proxy, start_origin(serving(HTML))).body == STRIPPED  # the next one is fine


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip+gzip", "br+gzip"])
def test_bombs(start, start_origin, coding):
    proxy = start()
    bomb = coded(coding, START + b"<p></p>" + b"\n" * (64 << 20) + END)
    origin = start_origin(serving(bomb, html_in(field_of(coding))))
    with Growth(workers(proxy.pid)[0]) as growth:
        got = page(proxy, origin, timeout=120)
    assert not got.is_complete and len(got.body) < 40 << 20
    assert growth.bytes < 48 << 20, growth.bytes
    wait_for_log(proxy, "more than 1000 bytes for each")
    print("bomb %s: %d bytes coded, %d passed, %d kB of memory" % (
        coding, len(bomb), len(got.body), growth.bytes >> 10))


# ---- large pages -----------------------------------------------------------------------------------------

def beside_neighbours(proxy, large, small, limit_s=120):
    """A page from `large` while others come from `small`: its response, what the worker grew by, and
    the times of the others, of which half may take no longer than they do alone, all but."""
    got, times = [], []
    page(proxy, small)
    alone = sorted(page(proxy, small).seconds for _ in range(50))
    with Growth(workers(proxy.pid)[0]) as growth:
        thread = threading.Thread(target=lambda: got.append(
            ask(proxy, "http://news.example:%d/" % large.port, headers=PAGE, timeout=limit_s)))
        thread.start()
        while thread.is_alive():
            times.append(page(proxy, small).seconds)
        thread.join()
    times.sort()
    got[0].body = without_ours(got[0].body)
    print("%d bytes in %.1f s, %d kB of memory; neighbours: median %.1f ms alone, %.1f ms beside it, worst of %d %.1f ms"
          % (len(got[0].body), got[0].seconds, growth.bytes >> 10, alone[25] * 1e3, times[len(times) // 2] * 1e3,
             len(times), times[-1] * 1e3))
    assert times[len(times) // 2] < 0.1
    return got[0], growth.bytes


def test_a_page_of_100_mb_and_its_neighbours(start, start_origin):
    proxy = start(edit_size=200, edit_time="60s")
    part = b"<div class=x><p>words of the day</p><a href=/x>on</a></div>\n" + AD + b"\n"
    body = START + part * (100 * 1000 * 1000 // len(part)) + END
    got, grown = beside_neighbours(proxy, start_origin(serving(gzip.compress(body, 1), html_in("gzip"))),
                                   start_origin(serving(HTML)))
    assert got.is_complete and got.body == body.replace(AD, b"")
    assert grown < 24 << 20


MANY = 1000000
HOSTILE = {  # what the page has behind its first ad; what the log says of it
    "an endless tag": (b"<p " + b"a" * (32 << 20), "a tag is too long"),
    "an endless value": (b"<p class='" + b"a b " * (8 << 20), "a tag is too long"),
    "an endless comment": (b"<!-- " + b"- " * (16 << 20), None),
    "an endless title": (b"<title>" + b"<a " * (11 << 20), None),
    "an endless script": (b"<script>" + b"a = b; " * (5 << 20), None),
    "elements in elements": (b"<div>" * MANY + b"</div>" * MANY, "elements are nested too deep"),
    "formatting in formatting": (b"<b>" * MANY, "elements are nested too deep"),
    "paragraphs that are never open": (b"</p>" * MANY, None),
    "attributes": (b"<p" + b"".join(b" a%d=x" % i for i in range(MANY)) + b">", "a tag is too long"),
    "attributes of one name": (b"<p" + b" a" * MANY + b">", "a tag is too long"),
    "classes": (b"<p class='" + b"".join(b" a%d" % i for i in range(100000)) + b"'>", None),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pages_and_their_neighbours(start, start_origin, what):
    proxy = start(RULES + "news.example##^div > .ad + p\nnews.example##^p:nth-child(3) .x\n")
    middle, why = HOSTILE[what]
    body = START + AD + middle
    large = start_origin(serving(body))
    got, grown = beside_neighbours(proxy, large, start_origin(serving(HTML)))
    assert got.is_complete and got.body == body.replace(AD, b"", 1)
    assert grown < 24 << 20
    if why:
        wait_for_log(proxy, why)


def test_past_its_limits_the_rest_passes_unchanged(start, start_origin):
    proxy = start(edit_size=1)
    body = START + AD + b"<p>words</p>" * 200000 + AD + END
    origin = start_origin(serving(gzip.compress(body), html_in("gzip")))
    got = page(proxy, origin)
    assert got.is_complete and got.body == body.replace(AD, b"", 1)
    wait_for_log(proxy, "it is longer than edit_size")


def test_past_its_time_the_rule_is_named(start, start_origin):
    costly = "news.example##^p:not([title*='one']):not([title*='two']):not([title*='three']) > .x"
    proxy = start(RULES + costly + "\n", edit_time="1ms")
    body = START + AD + b"<p title='a text of some length'>words</p>\n" * 100000 + AD + END
    got = page(proxy, start_origin(serving(body)))
    assert got.is_complete and got.body == body.replace(AD, b"", 1)
    wait_for_log(proxy, "it took longer than edit_time rule=" + re.escape(costly))


def test_no_memory_for_codings(start, start_origin):
    """While others have it, a page goes by as it came."""
    proxy = start(edit_memory=1, workers=1)
    whole = START + AD + b"".join(b"<p>%d words</p>" % number for number in range(20000)) + END
    body, go_on = gzip.compress(whole), threading.Event()

    def script(_, peer):
        read_request(peer)
        answer = reply(body, headers=html_in("gzip"))
        peer.send(answer[:-1000])
        assert go_on.wait(60)
        peer.send(answer[-1000:])
    slow = start_origin(script)
    headers = [("Accept", "text/html"), ("Accept-Encoding", "gzip, identity;q=0")]
    holders = [Peer(proxy.connect()) for _ in range(3)]  # each about 300 kB
    for peer in holders:
        peer.send(b"GET http://news.example:%d/ HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n"
                  b"Accept-Encoding: gzip, identity;q=0\r\n\r\n" % slow.port)
        peer.until(b"\r\n\r\n")
    quick = start_origin(serving(body, html_in("gzip")))
    assert page(proxy, quick, headers=headers).body == body
    wait_for_log(proxy, "edit_memory is in use")
    go_on.set()
    for peer in holders:
        assert without_ours(gzip.decompress(b"".join(peer.chunks()))) == whole.replace(AD, b"")
        peer.close()
    got = page(proxy, quick, headers=headers)
    assert without_ours(gzip.decompress(got.body)) == whole.replace(AD, b"")


# ---- what is shown of it -----------------------------------------------------------------------------------

def test_what_was_spared_is_counted_by_site(start, start_origin):
    proxy = start(RULES + "||plain.example^\n")
    origin = start_origin(serving(HTML))
    for _ in range(3):
        page(proxy, origin)
    script = [("Accept", "*/*"), ("Referer", "http://news.example/a?b")]
    page(proxy, start_origin(serving(b"x" * 5000, [("Content-Type", "text/javascript")])), "/a.js", headers=script)
    for _ in range(2):
        assert ask(proxy, "http://plain.example:%d/a.js" % origin.port, headers=script).status == 403
    wait_for_control(proxy)
    shown = wait_for("all of it counted", lambda: (
        lambda one: one["spared"]["bytes_not_fetched"] == 10000 and one)(status(proxy)))
    assert shown["spared"] == {"bytes_not_fetched": 10000, "bytes_removed": 3 * len(AD), "elements_removed": 3}
    assert shown["hosts"] == [{"host": "news.example", "requests": 2, "bytes_not_fetched": 10000,
                               "bytes_removed": 3 * len(AD), "elements_removed": 3}]
    front = ask(proxy, "http://dejunk/").body
    assert b"<td>news.example</td>" in front and b"10.0 kB" in front
    metrics = ask(proxy, "http://dejunk/metrics").body
    assert b'dejunk_bytes_removed_total{reason="html"} %d\n' % (3 * len(AD)) in metrics
    assert b"dejunk_elements_removed_total 3\n" in metrics and b"news.example" not in metrics


def test_an_image_policy_is_kept_where_the_browser_has_it_already(start, start_origin):
    proxy = start(more='policy "image" { reject = {"plain.example"} }')

    def answer(request):
        if "if-none-match" in request.fields:
            return b'HTTP/1.1 304 Not Modified\r\nETag: "i"\r\n\r\n'
        if "range" in request.fields:
            return reply(b"NG", "206 Partial Content", [("Content-Type", "image/png"),
                                                        ("Content-Range", "bytes 2-3/4")])
        return reply(b"\x89PNG", headers=[("Content-Type", "image/png"), ("ETag", '"i"')])
    origin = start_origin(answering(answer))
    url = "http://%%s.example:%d/x" % origin.port
    image = [("Accept", "image/avif,image/webp,*/*")]
    for more in ([], [("If-None-Match", '"i"')], [("Range", "bytes=2-")]):
        assert ask(proxy, url % "plain", headers=image + more).body.startswith(b"GIF89a"), more
        assert not ask(proxy, url % "news", headers=image + more).body.startswith(b"GIF89a")
