"""Each option that acts on a request or its answer, asked with curl through the proxy: a row each."""
import re
import subprocess

import pytest
from house import answering, reply, wait_for
from test_blocking import HOSTS, form_of, write_list

RULES = r"""
||redirect.example^$script,redirect=noopjs
||param.example^$removeparam=utm
||csp.example^$csp=script-src 'none'
||perm.example^$permissions=camera=()
||inline.example^$inline-script
||refpol.example^$referrerpolicy=no-referrer
||rmhead.example^$removeheader=x-junk
||rmhead.example^$removeheader=request:x-client
||cookie.example^$cookie=uid
||cookie.example^$cookie=sid;maxAge=5;sameSite=lax
||method.example^$method=post|delete
||header.example^$header=x-junk:track
||reqhead.example^$requestheader=x-client:~good
/to/*$to=to.example|~www.to.example
/deny/*$denyallow=deny.example,script
||ip.example^$ipaddress=127.0.0.1
||ip2.example^$ipaddress=10.0.0.1
||client.example^$client=127.0.0.1
||client2.example^$client=~127.0.0.0/8
||important.example^$important
@@||important.example^
||excepted.example^
@@||excepted.example^
||bad.example^
||bad.example^$badfilter
||visit.example^
||novisit.example^$script
||domain.example^$domain=news.example
||first.example^$1p,script
||case.example^*/Ads$match-case
||skip.example^$urlskip=?to
||transform.example^$uritransform=/old/new/
||rule.example^*/ad/
||rule.example^$redirect-rule=1x1.gif
||unknown.example^$script,redirect=no-such-stub
||empty.example^$script,empty
||stubless.example^$script,redirect=noopjs
@@||stubless.example^$redirect
$csp=img-src 'none',domain=own.example
/*$removeheader=x-junk,domain=own.example|news.example,to=own.example|third.example
||free.example^$csp=img-src 'none'
||free.example^$removeheader=request:x-client
@@||free.example^$document
||kept.example^$cookie
@@||kept.example^$cookie=sid
||session.example^$cookie=uid;maxAge=100
||short.example^$cookie=sid;maxAge=10
||late.example^$removeheader=x-junk,header=etag:"e"
||late.example^$csp=img-src 'none',header=etag:other
||late.example^$referrerpolicy=origin,ipaddress=127.0.0.1
||late.example^$permissions=camera=(),ipaddress=127.0.0.2
||fail.example^$header=x-junk:track
||fail.example^$header=set-cookie:/^sid=/,image
||skipped.example^
||skipped.example^$urlskip=?to -blocked
||stopped.example^
||stopped.example^$urlskip=?to
||text.example^$replace=/from-(\w+)\,too/\$1-alone/
||text.example^$replace=/GET/PUT/,ipaddress=127.0.0.1
||text.example^$replace=/cookie/biscuit/,header=etag:none
"""
NAMES = sorted(set(re.findall(r"[a-z0-9.]+\.example", RULES)))
SCRIPT = ["-H", "Sec-Fetch-Dest: script", "-H", "Referer: http://news.example/"]
IMAGE = ["-H", "Sec-Fetch-Dest: image", "-H", "Referer: http://news.example/"]
PAGE = ["-H", "Sec-Fetch-Dest: document", "-H", "Accept: text/html"]
FRAME = ["-H", "Sec-Fetch-Dest: iframe", "-H", "Accept: text/html", "-H", "Referer: http://news.example/"]

ROWS = [  # host, path, curl's options, status, in the answer's head, not in it, in its body (what came to the origin)
    ("redirect.example", "/x.js", SCRIPT, 200, "text/javascript", "X-Junk", "function"),
    ("redirect.example", "/x.js", [*SCRIPT, "-H", "Origin: http://news.example"], 200,
     "Access-Control-Allow-Origin: http://news.example", "X-Junk", "function"),
    ("redirect.example", "/x.png", IMAGE, 200, "X-Junk", "", "GET /x.png"),
    ("rule.example", "/ad/x.png", IMAGE, 200, "image/gif", "X-Junk", "GIF89a"),
    ("rule.example", "/x.png", IMAGE, 200, "X-Junk", "", "GET /x.png"),
    ("unknown.example", "/x.js", SCRIPT, 403, "", "X-Junk", ""),
    ("empty.example", "/x.js", SCRIPT, 200, "text/plain", "X-Junk", ""),
    ("stubless.example", "/x.js", SCRIPT, 403, "", "X-Junk", ""),
    ("param.example", "/x?a=1&utm=2&b=%20", FRAME, 200, "", "", "GET /x?a=1&b=%20\n"),
    ("param.example", "/x?a=1&utm=2", PAGE, 307, "Location: http://param.example:", "", ""),
    ("param.example", "/x?a=1", FRAME, 200, "", "", "GET /x?a=1\n"),
    ("csp.example", "/", PAGE, 200, "script-src 'none'", "", "GET /"),
    ("csp.example", "/x.js", SCRIPT, 200, "", "script-src 'none'", "GET /x.js"),
    ("perm.example", "/", PAGE, 200, "Permissions-Policy: camera=()", "", "GET /"),
    ("inline.example", "/", PAGE, 200, "script-src", "", "GET /"),
    ("refpol.example", "/", PAGE, 200, "Referrer-Policy: no-referrer", "", "GET /"),
    ("rmhead.example", "/", PAGE, 200, "ETag", "X-Junk", "GET /"),
    ("rmhead.example", "/", [*PAGE, "-H", "X-Client: 1"], 200, "", "", "no client"),
    ("domain.example", "/", [*PAGE, "-H", "X-Client: 1"], 200, "", "", "client 1"),
    ("cookie.example", "/", [*PAGE, "-H", "Cookie: uid=1; sid=2"], 200, "sid=2; Path=/; Max-Age=5; SameSite=lax",
     "uid=", "cookie sid=2"),
    ("method.example", "/", ["-X", "POST", *SCRIPT], 403, "", "X-Junk", ""),
    ("method.example", "/", ["-X", "DELETE", *SCRIPT], 403, "", "X-Junk", ""),
    ("method.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("header.example", "/", SCRIPT, 403, "", "X-Junk", ""),
    ("reqhead.example", "/", [*SCRIPT, "-H", "X-Client: evil"], 403, "", "X-Junk", ""),
    ("reqhead.example", "/", [*SCRIPT, "-H", "X-Client: good"], 200, "X-Junk", "", "GET /"),
    ("reqhead.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("to.example", "/to/x", SCRIPT, 403, "", "X-Junk", ""),
    ("www.to.example", "/to/x", SCRIPT, 200, "X-Junk", "", "GET /to/x"),
    ("csp.example", "/to/x", SCRIPT, 200, "X-Junk", "", "GET /to/x"),
    ("deny.example", "/deny/x", SCRIPT, 200, "X-Junk", "", "GET /deny/x"),
    ("csp.example", "/deny/x", SCRIPT, 403, "", "X-Junk", ""),
    ("ip.example", "/", SCRIPT, 403, "", "X-Junk", ""),
    ("ip2.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("client.example", "/", SCRIPT, 403, "", "X-Junk", ""),
    ("client2.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("important.example", "/", SCRIPT, 403, "", "X-Junk", ""),
    ("excepted.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("bad.example", "/", SCRIPT, 200, "X-Junk", "", "GET /"),
    ("visit.example", "/", PAGE, 403, "text/html", "X-Junk", "||visit.example^"),
    ("visit.example", "/", PAGE, 403, "text/html", "X-Junk", "<form"),  # the button
    ("novisit.example", "/", PAGE, 200, "X-Junk", "", "GET /"),
    ("domain.example", "/x", SCRIPT, 403, "", "X-Junk", ""),
    ("domain.example", "/x", ["-H", "Sec-Fetch-Dest: script", "-H", "Referer: http://other.example/"], 200, "X-Junk",
     "", "GET /x"),
    ("first.example", "/x", ["-H", "Sec-Fetch-Dest: script", "-H", "Referer: http://first.example/"], 403, "",
     "X-Junk", ""),
    ("first.example", "/x", SCRIPT, 200, "X-Junk", "", "GET /x"),
    ("own.example", "/", PAGE, 200, "img-src 'none'", "X-Junk", "GET /"),
    ("third.example", "/", PAGE, 200, "X-Junk", "img-src", "GET /"),
    ("third.example", "/", SCRIPT, 200, "ETag", "X-Junk", "GET /"),
    ("free.example", "/", [*PAGE, "-H", "X-Client: 1"], 200, "X-Junk", "img-src", "client 1"),
    ("kept.example", "/", [*PAGE, "-H", "Cookie: uid=1; sid=2"], 200, "Set-Cookie: sid=2; Path=/\r\n",
     "uid=", "cookie sid=2\n"),
    ("session.example", "/", PAGE, 200, "Set-Cookie: uid=1; Path=/; Max-Age=100\r\n", "", "GET /"),
    ("short.example", "/short", PAGE, 200, "Set-Cookie: sid=2; Max-Age=5\r\n", "Max-Age=10", "GET /short"),
    ("short.example", "/past", PAGE, 200, "Set-Cookie: sid=2; Expires=Thu, 01-Jan-1970 00:00:00 GMT\r\n",
     "Max-Age", "GET /past"),
    ("short.example", "/far", PAGE, 200, "Set-Cookie: sid=2; Max-Age=10\r\n", "Expires", "GET /far"),
    ("late.example", "/", PAGE, 200, "Referrer-Policy: origin", "X-Junk", "GET /"),
    ("late.example", "/", PAGE, 200, "ETag", "img-src", "GET /"),
    ("late.example", "/", PAGE, 200, "ETag", "camera", "GET /"),
    ("fail.example", "/404", SCRIPT, 403, "", "X-Junk", ""),
    ("fail.example", "/302", SCRIPT, 403, "", "X-Junk", ""),
    ("fail.example", "/", IMAGE, 200, "image/gif", "X-Junk", "GIF89a"),
    ("skipped.example", "/?to=http%3A%2F%2Fnews.example%2F", PAGE, 403, "text/html", "", "<form"),
    ("case.example", "/Ads", SCRIPT, 403, "", "X-Junk", ""),
    ("case.example", "/ads", SCRIPT, 200, "X-Junk", "", "GET /ads"),
]
OF_TRUSTED_LISTS = [  # host, path, options, status and target when trusted, and when not
    ("skip.example", "/?to=http%3A%2F%2Fnews.example%2F", PAGE, (307, "Location: http://news.example/"), (200, "GET /?to=")),
    ("transform.example", "/old/x", SCRIPT, (200, "GET /new/x"), (200, "GET /old/x")),
    ("skipped.example", "/?to=http%3A%2F%2Fnews.example%2F", PAGE, (307, "Location: http://news.example/"), (403, "<form")),
    ("stopped.example", "/?to=http%3A%2F%2Fnews.example%2F", PAGE, (403, "<form"), (403, "<form")),
    ("text.example", "/from-me,too", PAGE, (200, "PUT /me-alone\n"), (200, "GET /from-me,too\n")),
    ("text.example", "/x", PAGE, (200, "cookie none"), (200, "cookie none")),
]


@pytest.fixture
def origin(start_origin):
    def answer(request):
        fields = request.fields
        client = "client " + fields["x-client"] if "x-client" in fields else "no client"
        body = "%s\n%s\ncookie %s\n" % (request.first.rpartition(" ")[0], client, fields.get("cookie", "none"))
        path = request.target.rpartition("/")[2]
        life = {"short": "Max-Age=5", "past": "Expires=Thu, 01-Jan-1970 00:00:00 GMT",
                "far": "Expires=Fri, 01 Jan 2100 00:00:00 GMT"}.get(path, "Path=/")
        return reply(body.encode(), status=path + " x" if path in ("302", "404") else "200 OK", headers=[
            ("Content-Type", "text/plain" if fields["host"].startswith("text") else "text/html"),
            ("X-Junk", "track=1"), ("ETag", '"e"'), ("Set-Cookie", "uid=1; Path=/"), ("Set-Cookie", "sid=2; " + life)])
    return start_origin(answering(answer))


@pytest.fixture
def start(tmp_path, start_proxy):
    def started(trusted, hosts=None, **more):
        hosts = hosts or write_list(tmp_path, HOSTS + "127.0.0.1 %s\n" % " ".join(NAMES), "hosts")
        (tmp_path / "rules.d").mkdir()
        return start_proxy('list "ours" { file = "%s" trusted = %s }' % (write_list(tmp_path, RULES), trusted),
                           hosts_file=str(hosts), rules_dir=str(tmp_path / "rules.d"), **more)
    return started


def curl(proxy, url, options):
    """Status, head and body."""
    done = subprocess.run(["curl", "-s", "-i", "--max-time", "20", "-x", "http://127.0.0.1:%d" % proxy.port,
                           *options, url], capture_output=True, check=True, timeout=30)
    head, _, body = done.stdout.decode("latin-1").partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def test_each_option(start, origin):
    proxy = start("no")
    wrong = []
    for host, path, options, status, with_head, without_head, with_body in ROWS:
        got = curl(proxy, "http://%s:%d%s" % (host, origin.port, path), options)
        if (got[0] != status or with_head.lower() not in got[1].lower() or with_body not in got[2]
                or (without_head and without_head.lower() in got[1].lower())):
            wrong.append((host, path, options, got))
    assert not wrong, "\n".join(map(repr, wrong))


@pytest.mark.parametrize("trusted", ["yes", "no"])
def test_options_that_need_trust(start, origin, trusted):
    proxy = start(trusted)
    for host, path, options, *wants in OF_TRUSTED_LISTS:
        status, text = wants[trusted == "no"]
        got = curl(proxy, "http://%s:%d%s" % (host, origin.port, path), options)
        assert got[0] == status and text in got[1] + got[2], (host, got)


def test_cname(start, origin, start_names, tmp_path):
    names = start_names({"shop.example": ["alias cdn.example", "alias client.example", "127.0.0.1"],
                         "good.example": ["alias cdn.example", "127.0.0.1"]})
    resolv_conf = write_list(tmp_path, "nameserver %s\n" % names.at, "resolv.conf")
    proxy = start("no", hosts=write_list(tmp_path, "", "no-hosts"), resolv_conf=str(resolv_conf))
    for host, status in (("shop.example", 403), ("good.example", 200)):
        assert curl(proxy, "http://%s:%d/" % (host, origin.port), SCRIPT)[0] == status, host
    assert len(origin.requests) == 1


def test_a_blocked_visit_goes_on_by_its_button(start, origin):
    proxy = start("no")
    url = "http://visit.example:%d/x" % origin.port
    status, _, body = curl(proxy, url, PAGE)
    assert status == 403
    fields = [part for name, value in form_of(body.encode("latin-1")).items()
              for part in ("--data-urlencode", name + "=" + value)]
    status, head, _ = curl(proxy, "http://dejunk/pass", fields)
    assert status == 303 and "location: " + url in head.lower()
    wait_for("pass", lambda: curl(proxy, url, PAGE)[0] == 200)
