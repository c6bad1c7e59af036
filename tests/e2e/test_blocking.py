"""What rules stop, and how it is answered: by kind of request, with and without Sec-Fetch-*, by lists,
own rules, host policies and sections for sites and clients; and in Debian's Chromium with the lists of
Debian's uBlock Origin package."""
import gzip
import html
import os
import re
import signal
import urllib.parse

import pytest
from admin_house import admin_pid
from browser import PROGRAM, Browser
from daemon_house import wait_for_log, workers
from house import Peer, answering, read_response, reply, wait_for

AD = "ad.doubleclick.net"  # on EasyList, whatever its date
LISTS = "/usr/share/mozilla/extensions/{ec8030f7-c20a-464f-9b0e-13a3a9e97384}"
HOSTS = "127.0.0.1 news.example ads.example img.example cdn.example ok.example kids.example %s\n" % AD


def ask(proxy, url, *fields, method="GET"):
    """One request on a connection of its own."""
    sock = proxy.connect()
    try:
        peer = Peer(sock)
        host = url.split("/")[2]
        lines = ["%s %s HTTP/1.1" % (method, url), "Host: " + host, "Connection: close", *fields]
        peer.send("\r\n".join([*lines, "", ""]).encode())
        return read_response(peer, method)
    finally:
        sock.close()


def connect_status(proxy, authority):
    sock = proxy.connect()
    try:
        peer = Peer(sock)
        peer.send(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (authority, authority)).encode())
        return read_response(peer, "CONNECT")
    finally:
        sock.close()


def write_list(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.fixture
def origin(start_origin):
    """Answers every request with its Host, whatever is asked, by the type that its path ends in."""
    types = {"png": "image/png", "js": "text/javascript", "html": "text/html"}

    def answer(request):
        kind = types.get(request.target.rpartition(".")[2].partition("?")[0], "text/plain")
        return reply(("from " + request.fields["host"]).encode(),
                     headers=[("Content-Type", kind), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return start_origin(answering(answer))


@pytest.fixture
def start(tmp_path, start_proxy):
    def started(rules, more="", **options):
        hosts = write_list(tmp_path, HOSTS, "hosts")
        rules_file = write_list(tmp_path, rules)
        own = tmp_path / "rules.d"
        own.mkdir(exist_ok=True)
        return start_proxy('list "ours" { file = "%s" }\n%s' % (rules_file, more),
                           hosts_file=str(hosts), rules_dir=str(own), **options)
    return started


KINDS = [
    # what a browser sends over plain HTTP                       and with Fetch Metadata     answer
    ("x.js", ["Accept: */*"], "script", 403, b"", None),
    ("x.css", ["Accept: text/css,*/*;q=0.1"], "style", 403, b"", None),
    ("x?a", ["Accept: image/avif,image/webp,*/*"], "image", 200, b"GIF89a", "image/gif"),
    ("x.woff2", ["Accept: */*", "Origin: http://news.example"], "font", 403, b"", None),
    ("x.mp4", ["Accept: */*", "Range: bytes=0-"], "video", 403, b"", None),
    ("x", ["Accept: */*", "X-Requested-With: XMLHttpRequest"], "empty", 403, b"", None),
    ("x", ["Accept: text/html,*/*"], "iframe", None, b"", "text/html"),
    ("x", ["Accept: text/html,*/*"], "document", 403, b"<!DOCTYPE html>", "text/html; charset=utf-8"),
]


def test_each_kind_is_answered_as_pages_expect(start, origin):
    proxy = start("||ads.example^\n")
    base = "http://ads.example:%d/" % origin.port
    for path, fields, dest, status, begin, kind in KINDS:
        referer = [] if dest == "document" else ["Referer: http://news.example/"]
        for more in ([], ["Sec-Fetch-Dest: " + dest, "Sec-Fetch-Site: cross-site"]):
            got = ask(proxy, base + path, *fields, *referer, *more)
            if dest == "iframe":  # a frame is told from a page by Sec-Fetch-Dest alone
                assert got.status == (200 if more else 403), (dest, more)
                assert (got.body == b"") == bool(more)
                continue
            assert (got.status, got.body[:len(begin) or None]) == (status, begin), (dest, more)
            assert got.fields.get("content-type") == kind
    assert connect_status(proxy, "ads.example:%d" % origin.port).status == 403
    assert origin.requests == []


def test_block_page_names_rule_list_and_line(start, origin):
    proxy = start("! a title\n\n||ads.example^\n")
    page = ask(proxy, "http://ads.example:%d/" % origin.port, "Accept: text/html").body
    for word in (b"||ads.example^", b"ours", b"line 3"):
        assert word in page


CASES = [
    # rules, path on ads.example, fields, stopped
    ("||ads.example^", "/x.js", [], True),
    ("||ads.example^$image", "/x.js", [], False),
    ("||ads.example^$image", "/x.png", [], True),
    ("||ads.example^$third-party", "/x.js", ["Referer: http://news.example/"], True),
    ("||ads.example^$third-party", "/x.js", ["Referer: http://ads.example/"], False),
    ("||ads.example^$third-party", "/x.js", [], False),  # unknown: taken as first
    ("||ads.example^$third-party", "/x.js", ["Sec-Fetch-Site: cross-site"], True),
    ("||ads.example^$domain=news.example", "/x.js", ["Referer: http://news.example/"], True),
    ("||ads.example^$domain=news.example", "/x.js", ["Referer: http://ok.example/"], False),
    ("||ads.example^$domain=news.example", "/x.js", [], False),
    ("||ads.example^$domain=news.example", "/x.js", ["Origin: http://news.example"], True),
    ("||ads.example^\n@@||ads.example^*/good", "/good.js", [], False),
    ("||ads.example^$important\n@@||ads.example^*/good", "/good.js", [], True),
    ("||ads.example^\n||ads.example^$badfilter", "/x.js", [], False),
    ("127.0.0.1 ads.example", "/x.js", [], True),
    ("/banner/*/ad_", "/banner/1/ad_2.js", [], True),
    ("||ads.example^\n@@||news.example^$document", "/x.js", ["Referer: http://news.example/"], False),
]


def test_rules_mean_what_they_say(start, origin):
    for rules, path, fields, stopped in CASES:
        proxy = start(rules + "\n")
        got = ask(proxy, "http://ads.example:%d%s" % (origin.port, path), *fields)
        assert (b"from ads.example" not in got.body) == stopped, (rules, path, fields)
        proxy.stop()


def test_connect_is_stopped_only_by_rules_for_the_whole_host(start, origin):
    proxy = start("||ads.example^\n||img.example^$image\n||cdn.example^$third-party\n"
                  "||kids.example/path\n||ok.example^\n@@||ok.example^\n")
    for host, status in (("ads", 403), ("img", 200), ("cdn", 200), ("kids", 200), ("ok", 200)):
        assert connect_status(proxy, "%s.example:%d" % (host, origin.port)).status == status, host


def test_type_of_the_response_decides_when_the_request_does_not_tell(start, origin):
    proxy = start("||ads.example^$image\n")
    got = ask(proxy, "http://ads.example:%d/unknown?a.png" % origin.port, "Accept: */*")
    assert got.body.startswith(b"GIF89a")
    got = ask(proxy, "http://ads.example:%d/unknown?a.html" % origin.port, "Accept: */*")
    assert got.body.startswith(b"from ads.example")


def test_style_sheet_stands_for_the_page_that_loaded_it(start, origin):
    proxy = start("||ads.example^$domain=news.example\n")
    sheet = "http://cdn.example:%d/a.css" % origin.port
    ask(proxy, sheet, "Accept: text/css,*/*;q=0.1", "Referer: http://news.example/")
    picture = "http://ads.example:%d/x.png" % origin.port
    assert b"from" not in ask(proxy, picture, "Accept: image/*", "Referer: " + sheet).body
    other = sheet.replace("a.css", "b.css")
    assert b"from" in ask(proxy, picture, "Accept: image/*", "Referer: " + other).body


POLICIES = [
    # what is said of hosts; is ads.example rejected, img.example, ad.doubleclick.net
    ('reject = {"ads.*", "*.doubleclick.net"} accept = {"ad.doubleclick.net"}', (True, False, False)),
    ('accept = {"im?.example"} default = "reject"', (True, False, True)),
    ('reject = {"*"} accept = {"img.example", "*net"} default = "accept"', (True, False, False)),
    ('reject = {"img.example"} default = "reject"', (True, True, True)),
    ('default = "accept"', (False, False, False)),
]


@pytest.mark.parametrize("policy", ["connect", "image", "cookie"])
def test_policies_accept_reject_and_default(start, origin, policy):
    def rejects(host):
        picture, script = (ask(proxy, "http://%s:%d/x.%s" % (host, origin.port, kind))
                           for kind in ("png", "js"))
        rejected = {"connect": (picture.status, script.status) == (403, 403),
                    "image": picture.body.startswith(b"GIF89a"),
                    "cookie": "set-cookie" not in script.fields}
        tunnel = connect_status(proxy, "%s:%d" % (host, origin.port)).status
        assert (tunnel == 403) == (policy == "connect" and rejected[policy])
        if policy != "connect":  # what another policy minds goes on
            assert script.status == 200 and script.body.startswith(b"from")
        return rejected[policy]
    for words, want in POLICIES:
        proxy = start("", more='policy "%s" { %s }' % (policy, words))
        assert tuple(rejects(host) for host in ("ads.example", "img.example", AD)) == want, words
        proxy.stop()


def test_sections_for_sites_and_clients(start, origin):
    proxy = start("||ads.example^\n", more="""
        site "news.example" { filter = no gpc = no }
        client "127.0.0.9" { filter = no }
    """)
    script = "http://ads.example:%d/x.js" % origin.port
    assert ask(proxy, script, "Referer: http://ok.example/").status == 403
    assert ask(proxy, script, "Referer: http://news.example/").status == 200
    ask(proxy, "http://news.example:%d/" % origin.port, "Accept: text/html")
    assert "sec-gpc" not in origin.requests[-1].fields
    ask(proxy, "http://ok.example:%d/" % origin.port, "Accept: text/html")
    assert origin.requests[-1].fields["sec-gpc"] == "1"


def test_captive_portal_hosts_are_never_filtered(start, origin, tmp_path):
    hosts = write_list(tmp_path, "# ours\n*.ads.example # a portal\n", "unfiltered")
    proxy = start("||ads.example^$important\n", unfiltered_hosts=str(hosts))
    assert ask(proxy, "http://ads.example:%d/x.js" % origin.port).status == 200
    assert connect_status(proxy, "ads.example:%d" % origin.port).status == 200


def test_own_rules_and_reload(start, origin, tmp_path):
    proxy = start("||ads.example^\n")
    script = "http://ads.example:%d/x.js" % origin.port
    assert ask(proxy, script).status == 403
    write_list(tmp_path, "@@||ads.example^\n", "rules.d/mine.txt")
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("own rules", lambda: ask(proxy, script).status == 200)
    write_list(tmp_path, "||ads.example^$important\n", "rules.d/mine.txt")
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("changed rules", lambda: ask(proxy, script).status == 403)


def test_a_reload_sees_what_a_list_includes(start, origin, tmp_path):
    """A file that was not there when the rules were compiled, then one that has changed since."""
    proxy = start("||img.example^\n!#include sub/first.txt\n")
    url = "http://%%s:%d/x.js" % origin.port
    assert [ask(proxy, url % host).status for host in ("img.example", "ads.example")] == [403, 200]
    (tmp_path / "sub").mkdir()
    write_list(tmp_path, "!#include second.txt\n", "sub/first.txt")
    write_list(tmp_path, "||ads.example^\n", "sub/second.txt")
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("an included file", lambda: ask(proxy, url % "ads.example").status == 403)
    write_list(tmp_path, "||cdn.example^\n||news.example^\n", "sub/second.txt")
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("the changed file", lambda: ask(proxy, url % "ads.example").status == 200)
    assert [ask(proxy, url % host).status for host in ("cdn.example", "news.example")] == [403, 403]


def test_the_list_of_captive_portal_hosts_has_a_limit(start, origin, tmp_path):
    many = "ok.example\n" + "".join("h%05d.example\n" % i for i in range(20000)) + "ads.example\n"
    proxy = start("||ads.example^\n||ok.example^\n",
                  unfiltered_hosts=str(write_list(tmp_path, many, "unfiltered")))
    assert ask(proxy, "http://ok.example:%d/x.js" % origin.port).status == 200
    assert ask(proxy, "http://ads.example:%d/x.js" % origin.port).status == 403
    assert re.search(r"unfiltered is too long: h\d{5}\.example and what comes behind it", proxy.log())


def test_policies_and_directives_pass_over_captive_portal_hosts(start, origin, tmp_path):
    hosts = write_list(tmp_path, "ads.example\n", "unfiltered")
    proxy = start("*$removeparam=a\n*$csp=sandbox\n", more="""
        policy "connect" { default = "reject" }
        policy "image" { default = "reject" }
        policy "cookie" { default = "reject" }
    """, unfiltered_hosts=str(hosts))
    assert ask(proxy, "http://ok.example:%d/x" % origin.port).status == 403
    got = ask(proxy, "http://ads.example:%d/x.png?a=1" % origin.port, "Accept: text/html")
    assert (got.status, got.body) == (200, b"from ads.example:%d" % origin.port)
    assert got.fields["set-cookie"] == "a=1, b=2" and "content-security-policy" not in got.fields
    assert origin.requests[-1].target == "/x.png?a=1"
    assert connect_status(proxy, "x.ads.example:%d" % origin.port).status != 403


def test_a_list_that_never_was_there_is_a_warning(start, origin, tmp_path):
    proxy = start("||ads.example^\n", 'list "gone" { file = "%s" }' % (tmp_path / "gone.txt"))
    assert ask(proxy, "http://ads.example:%d/x.js" % origin.port).status == 403
    assert "gone.txt" in proxy.log()


@pytest.mark.parametrize("name, lose", [
    ("gone", lambda path: path.unlink()),
    ("a directory", lambda path: (path.unlink(), path.mkdir())),
    ("cut short", lambda path: path.write_bytes(gzip.compress(path.read_bytes() * 1000)[:-20])),
    ("a web page", lambda path: path.write_text("\n<!DOCTYPE html>\n<title>Not found</title>\n")),
])
def test_of_a_list_that_is_lost_the_last_good_one_stays(start, origin, tmp_path, name, lose):
    proxy = start("||ads.example^\n")
    script = "http://ads.example:%d/x.js" % origin.port
    path = tmp_path / "list.txt"
    lose(path)
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for_log(proxy, "the last good rules stay in force: list ours: ")
    assert ask(proxy, script).status == 403, name
    proxy.stop()
    proxy.start()  # nor over a restart
    assert ask(proxy, script).status == 403, name
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_text("||img.example^\n")
    os.kill(proxy.pid, signal.SIGHUP)
    wait_for("the new list", lambda: ask(proxy, script).status == 200)
    assert ask(proxy, "http://img.example:%d/x.js" % origin.port).status == 403, name


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:5000] + b"junk" + path.read_bytes()[5004:]),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
])
def test_a_damaged_database_is_made_anew(start, origin, damage):
    proxy = start("||ads.example^\n")
    script = "http://ads.example:%d/x.js" % origin.port
    assert ask(proxy, script).status == 403
    damage(proxy.directory / "state" / "rules.db")
    for pid in workers(proxy.pid):  # those that come have the rules, too
        os.kill(pid, signal.SIGKILL)
    for _ in range(4):
        assert ask(proxy, script).status == 403
    proxy.stop()
    proxy.start()
    assert "the rules are compiled anew: " in proxy.log()
    assert ask(proxy, script).status == 403


PAGE = """<!doctype html><meta charset=utf-8><title>news</title><p id=article>the article</p>
<img id=good src=/good.png><script>
const ad = 'http://%s:' + location.port;
function element(name, attributes) {
    return new Promise(done => {
        const made = Object.assign(document.createElement(name), attributes);
        made.onload = () => done('load' + (made.naturalWidth || ''));
        made.onerror = () => done('error');
        made.onloadeddata = () => done('load');
        document.body.append(made);
    });
}
async function all() {
    await new Promise(done => document.readyState == 'complete' ? done() : onload = done);
    const outcome = await Promise.all([
        element('img', { src: ad + '/a.png' }),
        element('script', { src: ad + '/a.js' }),
        element('link', { rel: 'stylesheet', href: ad + '/a.css' }),
        element('iframe', { src: ad + '/a.html' }),
        element('video', { src: ad + '/a.mp4' }),
        fetch(ad + '/fetch').then(() => 'load', () => 'error'),
        new Promise(done => {
            const request = new XMLHttpRequest();
            request.onload = () => done('load');
            request.onerror = () => done('error');
            request.open('GET', ad + '/xhr');
            request.send();
        }),
        new FontFace('ad', 'url(' + ad + '/a.woff2)').load().then(() => 'load', () => 'error'),
        new Promise(done => {
            const socket = new WebSocket(ad.replace('http', 'ws') + '/ws');
            socket.onopen = () => done('open');
            socket.onerror = () => done('error');
        }),
        element('img', { src: '/good.png' }),
    ]);
    navigator.sendBeacon(ad + '/beacon', 'x');
    return outcome;
}
</script>""" % AD


@pytest.mark.skipif(not PROGRAM, reason="no chromium here")
@pytest.mark.skipif(not os.path.isdir(LISTS), reason="no webext-ublock-origin-firefox here")
def test_chromium_with_real_lists(tmp_path, start_proxy, start_origin):
    gif = b"GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\2\0\2\0\0\2\3D\2\5\0;"

    def answer(request):
        if request.target == "/":
            return reply(PAGE.encode(), headers=[("Content-Type", "text/html")])
        return reply(gif, headers=[("Content-Type", "image/gif")])
    origin = start_origin(answering(answer))
    hosts = write_list(tmp_path, HOSTS, "hosts")
    proxy = start_proxy(hosts_file=str(hosts), rules_dir=str(tmp_path))
    browser = Browser(tmp_path / "browser", proxy)
    try:
        assert browser.visit("http://news.example:%d/" % origin.port) is None
        outcome = browser.evaluate("all()")
        # A rule of these lists may let a stub stand in for what scripts fetch.
        fetches, outcome[5:7] = set(outcome[5:7]), []
        assert fetches <= {"load", "error"}
        assert outcome == ["load1", "error", "error", "load", "error", "error", "error", "load2"]
        assert browser.evaluate("article.innerText") == "the article"
        browser.visit("http://%s:%d/" % (AD, origin.port))
        text = browser.evaluate("document.body.innerText")
        assert "Blocked" in text and "easylist" in text and "line" in text and AD in text
        assert {request.fields["host"].partition(":")[0] for request in origin.requests} == {
            "news.example"}
    finally:
        browser.stop()



def form_of(page):
    return {name.decode(): html.unescape(value.decode())
            for name, value in re.findall(rb'name="(\w+)" value="([^"]*)"', page)}


def post_form(proxy, values):
    body = urllib.parse.urlencode(values).encode()
    sock = proxy.connect()
    try:
        peer = Peer(sock)
        peer.send(b"POST http://dejunk/pass HTTP/1.1\r\nHost: dejunk\r\nConnection: close\r\n"
                  b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
                  % len(body) + body)
        return read_response(peer, "POST")
    finally:
        sock.close()


def test_go_on_anyway_once_for_this_host(start, origin):
    proxy = start("||ads.example^\n||img.example^\n", workers=2)
    url = "http://ads.example:%d/page?a=1&b=<2>" % origin.port
    form = form_of(ask(proxy, url.replace("<2>", "%3C2%3E"), "Accept: text/html").body)
    assert form["host"] == "ads.example" and "b=%3C2%3E" in form["url"]
    assert post_form(proxy, dict(form, host="img.example")).status == 403
    assert post_form(proxy, dict(form, token="A" + form["token"][1:] + "A")).status == 403
    answer = post_form(proxy, form)
    assert (answer.status, answer.fields["location"]) == (303, form["url"])
    for _ in range(8):  # whichever worker it meets
        assert ask(proxy, form["url"], "Accept: text/html").status == 200
    assert ask(proxy, "http://img.example:%d/" % origin.port, "Accept: text/html").status == 403
    assert post_form(proxy, form).status == 403  # it is good once
    old = admin_pid(proxy)
    os.kill(old, signal.SIGKILL)
    wait_for("another admin", lambda: admin_pid(proxy) not in (None, old))
    wait_for("answer", lambda: post_form(proxy, form).body.startswith(b"This way on was taken"))


@pytest.mark.skipif(not PROGRAM, reason="no chromium here")
def test_button_in_chromium(tmp_path, start, origin):
    proxy = start("||ads.example^\n")
    browser = Browser(tmp_path / "browser", proxy)
    try:
        browser.visit("http://ads.example:%d/page.html" % origin.port)
        assert "Blocked" in browser.evaluate("document.body.innerText")
        browser.evaluate("document.querySelector('button').click()")
        wait_for("the page", lambda: "from ads.example" in browser.evaluate(
            "document.body ? document.body.innerText : ''"))
    finally:
        browser.stop()
