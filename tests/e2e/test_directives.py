"""What rules change in requests and responses that go on: one test for each option, through the proxy."""
import json
import pathlib
import socket

import pytest
from house import Peer, answering, read_request, read_response, reply, wait_for
from test_blocking import HOSTS, ask, write_list


@pytest.fixture
def origin(start_origin):
    def answer(request):
        kind = "text/html" if "page" in request.target else "text/javascript"
        return reply(b"from " + request.fields["host"].encode(), headers=[
            ("Content-Type", kind), ("X-Junk", "track=1"), ("Refresh", "1"), ("ETag", '"e"'),
            ("Content-Security-Policy", "img-src *"),
            ("Set-Cookie", "uid=1; Path=/; Max-Age=999"), ("Set-Cookie", "sid=2; Path=/")])
    return start_origin(answering(answer))


@pytest.fixture
def start(tmp_path, start_proxy):
    def started(rules, trusted=False, **options):
        hosts = write_list(tmp_path, HOSTS, "hosts")
        own = tmp_path / "none.d"
        own.mkdir(exist_ok=True)
        file = write_list(tmp_path, rules)
        return start_proxy('list "ours" { file = "%s" trusted = %s }' % (file, "yes" if trusted else "no"),
                           hosts_file=options.pop("hosts_file", str(hosts)), rules_dir=str(own), **options)
    return started


def url_of(origin, host, path):
    return "http://%s:%d%s" % (host, origin.port, path)


PAGE = ["Accept: text/html"]
SCRIPT = ["Accept: */*", "Referer: http://news.example/"]


def test_removeparam_sends_page_visits_elsewhere_and_changes_the_rest(start, origin):
    proxy = start("$removeparam=utm_source\n$script,removeparam=utm_source\n"
                  "||ok.example^$script,removeparam=/^fb/\n")
    got = ask(proxy, url_of(origin, "news.example", "/page?a=1&utm_source=x&b=%20&c"), *PAGE)
    assert got.status == 307
    assert got.fields["location"] == url_of(origin, "news.example", "/page?a=1&b=%20&c")
    assert origin.requests == []
    ask(proxy, url_of(origin, "ok.example", "/x.js?utm_source=x&fbclid=2&keep=%7e"), *SCRIPT)
    assert origin.requests[-1].target == "/x.js?keep=%7e"
    ask(proxy, url_of(origin, "ok.example", "/x.js?utm_source=x"), *SCRIPT)
    assert origin.requests[-1].target == "/x.js"


def test_urlskip_and_uritransform_only_from_trusted_lists(start, origin):
    rules = "||ok.example^*/out?$urlskip=?to\n||ok.example^$uritransform=/old/new/\n"
    proxy = start(rules)
    assert ask(proxy, url_of(origin, "ok.example", "/out?to=http%3A%2F%2Fnews.example%2F"), *PAGE).status == 200
    ask(proxy, url_of(origin, "ok.example", "/old.js"), *SCRIPT)
    assert origin.requests[-1].target == "/old.js"
    proxy.stop()
    proxy = start(rules, trusted=True)
    ask(proxy, url_of(origin, "ok.example", "/old.js"), *SCRIPT)
    assert origin.requests[-1].target == "/new.js"


def test_uritransform_with_the_rules_own_expression(start, origin):
    proxy = start("/^(http:\\/\\/)ok\\.example(.*)\\/a\\/(.*)/$script,uritransform=//$1ok.example$2\\/b\\/$3/\n"
                  "||img.example^$uritransform=/^http:\\/\\/img\\.example(:\\d+)/http:\\/\\/ok.example$1/\n",
                  trusted=True)
    ask(proxy, url_of(origin, "ok.example", "/a/x.js?y"), *SCRIPT)
    assert origin.requests[-1].target == "/b/x.js?y"
    got = ask(proxy, url_of(origin, "img.example", "/x.js"), *SCRIPT)  # another server
    assert got.status == 307 and got.fields["location"] == url_of(origin, "ok.example", "/x.js")
    assert len(origin.requests) == 1


def test_csp_permissions_and_referrerpolicy_for_pages(start, origin):
    proxy = start("||ok.example^$csp=script-src 'none'\n||ok.example^$permissions=camera=()\n"
                  "||ok.example^$referrerpolicy=no-referrer\n||news.example^$inline-script\n"
                  "||ok.example^$csp=script-src 'none',3p\n$csp=script-src 'none',domain=ok.example\n"
                  "||img.example^$permissions=camera=()|microphone=()\n||img.example^$inline-font\n")
    got = ask(proxy, url_of(origin, "ok.example", "/page"), *PAGE)
    assert got.fields["content-security-policy"] == "img-src *, script-src 'none'"
    assert got.fields.get("permissions-policy") == "camera=()"
    got = ask(proxy, url_of(origin, "ok.example", "/x.js"), *SCRIPT)
    assert got.fields["content-security-policy"] == "img-src *"
    got = ask(proxy, url_of(origin, "news.example", "/page"), *PAGE)
    assert "script-src" in got.fields["content-security-policy"]
    got = ask(proxy, url_of(origin, "img.example", "/page"), *PAGE)
    assert got.fields.get("permissions-policy") == "camera=(),microphone=()"
    assert "font-src" in got.fields["content-security-policy"]


def test_removeheader_both_ways(start, origin):
    proxy = start("||ok.example^$removeheader=refresh\n||ok.example^$removeheader=request:x-client\n")
    got = ask(proxy, url_of(origin, "ok.example", "/x.js"), "X-Client: 1", *SCRIPT)
    assert "refresh" not in got.fields and got.fields["x-junk"] == "track=1"
    assert "x-client" not in origin.requests[-1].fields


RISKY = ("||ok.example^$removeheader=x-junk:/^track/\n||news.example^$removeheader=x-junk:/^other/\n"
         "||ok.example^$removeheader=content-security-policy\n")


@pytest.mark.parametrize("trusted", [False, True])
def test_removeheader_by_value_and_of_what_protects_needs_trust(start, origin, trusted):
    proxy = start(RISKY, trusted=trusted)
    got = ask(proxy, url_of(origin, "ok.example", "/x.js"), *SCRIPT)
    assert ("x-junk" in got.fields) is not trusted
    assert ("content-security-policy" in got.fields) is not trusted
    assert "x-junk" in ask(proxy, url_of(origin, "news.example", "/x.js"), *SCRIPT).fields


def test_responseheader_is_for_pages(start, origin):
    proxy = start("ok.example##^responseheader(refresh)\n")
    assert "refresh" not in ask(proxy, url_of(origin, "ok.example", "/page"), *PAGE).fields
    assert "refresh" in ask(proxy, url_of(origin, "ok.example", "/x.js"), *SCRIPT).fields
    assert "refresh" in ask(proxy, url_of(origin, "news.example", "/page"), *PAGE).fields


def test_cookies_are_taken_out_both_ways(start, origin):
    proxy = start("||ok.example^$cookie=uid\n||news.example^$cookie=/id$/\n||img.example^$cookie=uid;maxAge=5\n")
    got = ask(proxy, url_of(origin, "ok.example", "/x.js"), "Cookie: uid=1; sid=2; x=3", *SCRIPT)
    assert got.fields["set-cookie"] == "sid=2; Path=/"
    assert origin.requests[-1].fields["cookie"] == "sid=2; x=3"
    got = ask(proxy, url_of(origin, "news.example", "/x.js"), "Cookie: uid=1; sid=2", *SCRIPT)
    assert "set-cookie" not in got.fields and "cookie" not in origin.requests[-1].fields
    got = ask(proxy, url_of(origin, "img.example", "/x.js"), *SCRIPT)
    assert got.fields["set-cookie"] == "uid=1; Path=/; Max-Age=5, sid=2; Path=/"


def test_redirect_answers_with_a_stub(start, origin):
    proxy = start("||ads.example^$script,redirect=noopjs\n||img.example^$redirect-rule=1x1.gif\n"
                  "||img.example^*/ad/\n||cdn.example^$redirect=no-such-stub\n")
    got = ask(proxy, url_of(origin, "ads.example", "/x.js"), "Origin: http://news.example", *SCRIPT)
    assert got.status == 200 and b"function" in got.body
    assert got.fields["access-control-allow-origin"] == "http://news.example"
    assert got.fields["cross-origin-resource-policy"] == "cross-origin"
    assert b"from" in ask(proxy, url_of(origin, "img.example", "/good.png"), "Accept: image/*").body
    got = ask(proxy, url_of(origin, "img.example", "/ad/x.png"), "Accept: image/*", "Referer: http://news.example/")
    assert got.body.startswith(b"GIF89a")
    assert ask(proxy, url_of(origin, "cdn.example", "/x.js"), *SCRIPT).status == 403


def test_conditions_of_requests(start, origin):
    proxy = start("||ads.example^*/method/$method=post\n||ads.example^*/to/$to=ads.example\n"
                  "/deny/$denyallow=ok.example\n||ads.example^*/head/$header=x-junk:track=1\n"
                  "||ads.example^*/client/$client=127.0.0.1\n||ads.example^*/ip/$ipaddress=127.0.0.1\n"
                  "||ads.example^*/asks/$requestheader=accept:*/*\n||ads.example^*/comma/$header=x-junk:/k{1\\,2}=1/\n")

    def stopped(host, path, **how):
        got = ask(proxy, url_of(origin, host, path), "Content-Length: 0", *SCRIPT, **how)
        return b"from" not in got.body
    assert stopped("ads.example", "/method/", method="POST") and not stopped("ads.example", "/method/")
    assert stopped("ads.example", "/to/")
    assert stopped("ads.example", "/deny/") and not stopped("ok.example", "/deny/")
    assert stopped("ads.example", "/head/")
    assert stopped("ads.example", "/client/")
    assert stopped("ads.example", "/asks/") and stopped("ads.example", "/comma/")
    assert stopped("ads.example", "/ip/")
    assert not stopped("ads.example", "/other/")
    assert stopped("ads.example", "/ip/")  # on a kept connection as well


def is_connecting_to(port):
    """Somebody waits in SYN-SENT for this port."""
    lines = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
    return any(words[2].endswith(":%04X" % port) and words[3] == "02" for words in map(str.split, lines))


def test_an_address_that_was_tried_too_says_nothing_of_the_one_that_serves(
        start, start_names, tmp_path):
    """The first answers late; the second, which a rule stops, was its rival meanwhile."""
    names = start_names({"two.example": ["127.0.0.1", "127.0.0.2"]})
    resolv_conf = write_list(tmp_path, "nameserver %s\n" % names.at, "resolv.conf")
    log, empty = tmp_path / "access.log", write_list(tmp_path, "", "no-hosts")
    proxy = start("||two.example^$ipaddress=127.0.0.2\n", hosts_file=str(empty), access_log="json",
                  resolv_conf=str(resolv_conf), access_log_file=str(log))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as late, \
            socket.create_connection(late.getsockname()):  # takes the only place in its line
        browser = Peer(proxy.connect())
        browser.send(b"GET http://two.example:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % late.getsockname()[1])
        wait_for("SYN", lambda: is_connecting_to(late.getsockname()[1]))
        late.accept()[0].close()  # it comes again after a second, the next address after 250 ms
        origin = Peer(late.accept()[0])
        assert read_request(origin).target == "/"
        origin.send(reply(b"nothing\n", "404 Not Found"))
        assert read_response(browser).status == 404
        browser.close()
        origin.close()
    line = wait_for("line", lambda: log.exists() and log.read_text())
    assert json.loads(line)["rule"] is None


def test_cname_is_asked_of_the_rules(start, origin, start_names, tmp_path):
    empty = write_list(tmp_path, "", "no-hosts")
    names = start_names({"shop.example": ["alias tracker.example", "127.0.0.1"],
                         "good.example": ["alias cdn.example", "127.0.0.1"]})
    resolv_conf = write_list(tmp_path, "nameserver %s\n" % names.at, "resolv.conf")
    proxy = start("||tracker.example^\n", hosts_file=str(empty), resolv_conf=str(resolv_conf))
    assert ask(proxy, url_of(origin, "shop.example", "/x.js"), *SCRIPT).status == 403
    assert origin.requests == []
    assert ask(proxy, url_of(origin, "good.example", "/x.js"), *SCRIPT).status == 200


MPD = b"<?xml version='1.0'?>\n<MPD><Period id=\"ad-1\"><A/></Period>\n<Period id=\"show\"/></MPD>\n"
JSON = b'{"ads": [1, 2], "list": [{"ad": true}, {"title": "x"}], "n": 1.50}\n'


@pytest.mark.parametrize("trusted", [False, True])
def test_texts_are_changed_by_trusted_lists(start, start_origin, trusted):
    kinds = {".mpd": ("application/dash+xml", MPD), ".json": ("application/json", JSON),
             ".js": ("text/javascript", b"let on = true, say = 'true';")}

    def answer(request):
        kind, body = kinds[request.target[request.target.rindex("."):]]
        return reply(body, headers=[("Content-Type", kind)])
    origin = start_origin(answering(answer))
    proxy = start("||ok.example^$xmlprune=/MPD/Period[contains(@id\\, 'ad-')]\n"
                  "||ok.example^$jsonprune=\\$.ads\n||ok.example^$jsonprune=\\$.list[?(has ad)]\n"
                  "||ok.example^$script,replace=/on = (\\w+)\\, say/on = !\\$1\\, say/\n", trusted=trusted)
    got = {end: ask(proxy, url_of(origin, "ok.example", "/x" + end), *SCRIPT).body for end in kinds}
    if not trusted:
        assert got == {end: body for end, (_, body) in kinds.items()}
        return
    assert got[".mpd"] == b"<?xml version='1.0'?>\n<MPD>\n<Period id=\"show\"/></MPD>\n"
    assert got[".json"] == b'{"list": [{"title": "x"}], "n": 1.50}\n'
    assert got[".js"] == b"let on = !true, say = 'true';"
