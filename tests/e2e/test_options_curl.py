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
    ("case.example", "/Ads", SCRIPT, 403, "", "X-Junk", ""),
    ("case.example", "/ads", SCRIPT, 200, "X-Junk", "", "GET /ads"),
]
OF_TRUSTED_LISTS = [  # host, path, options, status and target when trusted, and when not
    ("skip.example", "/?to=http%3A%2F%2Fnews.example%2F", PAGE, (307, "Location: http://news.example/"), (200, "GET /?to=")),
    ("transform.example", "/old/x", SCRIPT, (200, "GET /new/x"), (200, "GET /old/x")),
]


@pytest.fixture
def origin(start_origin):
    def answer(request):
        fields = request.fields
        client = "client " + fields["x-client"] if "x-client" in fields else "no client"
        body = "%s\n%s\ncookie %s\n" % (request.first.rpartition(" ")[0], client, fields.get("cookie", "none"))
        return reply(body.encode(), headers=[
            ("Content-Type", "text/html"), ("X-Junk", "track=1"), ("ETag", '"e"'),
            ("Set-Cookie", "uid=1; Path=/"), ("Set-Cookie", "sid=2; Path=/")])
    return start_origin(answering(answer))


@pytest.fixture
def start(tmp_path, start_proxy):
    def started(trusted):
        hosts = write_list(tmp_path, HOSTS + "127.0.0.1 %s\n" % " ".join(NAMES), "hosts")
        (tmp_path / "rules.d").mkdir()
        return start_proxy('list "ours" { file = "%s" trusted = %s }' % (write_list(tmp_path, RULES), trusted),
                           hosts_file=str(hosts), rules_dir=str(tmp_path / "rules.d"))
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
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("trusted", ["yes", "no"])
def test_options_that_need_trust(start, origin, trusted):
    proxy = start(trusted)
    for host, path, options, *wants in OF_TRUSTED_LISTS:
        status, text = wants[trusted == "no"]
        got = curl(proxy, "http://%s:%d%s" % (host, origin.port, path), options)
        assert got[0] == status and text in got[1] + got[2], (host, got)


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
