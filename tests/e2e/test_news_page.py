"""A news page as its readers have it: from nginx, in each coding and charset, with ads of every kind and
a strict policy. In Debian's Chromium the ads are neither asked for nor seen, all else is as it was on
a page without them, and the console stays clean; also from the cache, after a 304, with other rules,
and where a script takes over markup that the server made."""
import json
import shutil
import subprocess

import pytest
from browser import PROGRAM, Browser
from codings import coded
from daemon_house import reload as reload_rules
from house import answering, ask, reply, wait_for

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no chromium here")

HOSTS = "127.0.0.1 news.example ads.example\n"
RULES = """\
||ads.example^
/banners/ad.
##.ad-container
##.late-ad
##.late-frame > div
news.example###sticky
news.example##.consent
news.example##p:has(> .sponsored)
"""
POLICY = ("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'none'; "
          "img-src 'self' http://ads.example:*; frame-src http://ads.example:*")
STYLE = """\
body { margin: 0; font: 16px/20px monospace } .ad-container { display: flex !important; height: 90px }
#sticky { position: fixed; bottom: 0; left: 0; right: 0; height: 80px; background: red }
.consent { position: fixed; inset: 0; background: #000c } article { width: 600px }
td { border: 1px solid; padding: 3px } pre { background: #eee } .late-ad { height: 50px }
"""
SCRIPT = """\
addEventListener('load', () => setTimeout(() => {
    for (const [name, id] of [['late-ad', ''], ['late-frame', 'later']]) {
        const box = document.createElement('div');
        box.className = name;
        box.id = id;
        box.innerHTML = '<div>late ad</div>';
        document.querySelector('article').before(box);
    }
    document.documentElement.dataset.ready = 1;
}, 50));
"""
ARTICLE = """\
<article id=article><h1>Caf\u00e9 na\u00efve</h1><p class=lead>First <b>bold <i>both</b> italic</i> words &amp; more.
<p>Second paragraph, <code>if (a &lt; b &amp;&amp; c)</code>.
%s<pre><code>&lt;div class="ad-container"&gt;
  no ad
&lt;/div&gt;</code></pre>
<table><tr><th>One<th>Two<tr><td>1<td>2%s<tr><td colspan=2>both</table>
<ul><li>a<li>b%s<li>c</ul><p>The end.</p></article>
"""
ADS = [
    '<div class="ad-container box"><a href="http://ads.example:%(port)d/click">Buy <b>now</b></a></div>',
    '<tr class="ad-container"><td>Ad<td>Ad',
    '<li class="ad-container">Ad',
]
BEFORE = """\
<script src="http://ads.example:%(port)d/ad.js"></script><div id=sticky>Sticky!</div>
<div class="consent dark"><p>We value your privacy<button>OK</button></div>
<iframe src="//ads.example:%(port)d/frame" width=300 height=250></iframe>
<img src="/banners/ad.png" srcset="/banners/ad.png 1x" width=468 height=60 alt="">
<p><span class=sponsored>Sponsored</span> words</p>
"""


def page(port, with_ads):
    values = {"port": port}
    ads = [ad % values if with_ads else "" for ad in ADS]
    return """<!doctype html><html lang=en><head>%s<title>News</title><link rel=stylesheet href=/style.css>
<link rel=icon href=/icon.png>%s</head><body>
%s%s<script src=/late.js></script></body></html>
""" % ("%(charset)s",
       '<link rel=preconnect href="http://ads.example:%d">' % port if with_ads else "",
       BEFORE % values if with_ads else "", ARTICLE % tuple(ads))


PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
                      "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082")

KINDS = {  # of a page: folder -> charset, coding
    "plain": ("utf-8", None),
    "gz": ("utf-8", None),  # by nginx
    "br": ("utf-8", "br"),
    "zip": ("utf-8", "gzip"),
    "chunked": ("utf-8", None),
    "latin": ("iso-8859-1", None),
    "meta": ("utf-8", None),  # its policy is in the page only
    "kept": ("utf-8", None),  # fresh for an hour
}
NGINX = """\
location = /style.css { root %(www)s; } location = /late.js { root %(www)s; }
location /latin/ { alias %(www)s/latin/; charset iso-8859-1; add_header Content-Security-Policy "%(policy)s"; }
location /br/ { alias %(www)s/br/; add_header Content-Encoding br; charset utf-8;
                add_header Content-Security-Policy "%(policy)s"; }
location /zip/ { alias %(www)s/zip/; add_header Content-Encoding gzip; charset utf-8;
                 add_header Content-Security-Policy "%(policy)s"; }
location /meta/ { alias %(www)s/meta/; charset utf-8; }
location /kept/ { alias %(www)s/kept/; charset utf-8; add_header Content-Security-Policy "%(policy)s"; expires 1h; }
location /plain/ { alias %(www)s/plain/; charset utf-8; add_header Content-Security-Policy "%(policy)s"; }
"""


@pytest.fixture
def ads(start_origin):
    """The ad server: whatever comes here was asked for."""
    return start_origin(answering(lambda request: reply(b"ad")))


@pytest.fixture
def site(start_nginx, ads, tmp_path):
    www = tmp_path / "nginx0" / "www"
    nginx = start_nginx(NGINX % {"www": www, "policy": POLICY})
    (www / "style.css").write_text(STYLE)
    (www / "late.js").write_text(SCRIPT)
    (www / "icon.png").write_bytes(PIXEL)
    (www / "banners").mkdir()
    (www / "banners" / "ad.png").write_bytes(PIXEL)
    for folder, (charset, coding) in KINDS.items():
        (www / folder).mkdir()
        for name, with_ads in (("ads.html", True), ("clean.html", False)):
            says = "<meta charset=%s>" % charset if folder in ("gz", "chunked") else ""
            if folder == "meta":
                says = '<meta http-equiv="Content-Security-Policy" content="%s">' % POLICY
            text = (page(ads.port, with_ads) % {"charset": says}).encode(charset)
            (www / folder / name).write_bytes(coded(coding, text) if coding else text)
            if folder in ("gz", "chunked"):  # nginx makes these of what lies in www
                (www / name).write_bytes(text)
    return nginx


@pytest.fixture
def start_reader(start_proxy, tmp_path):
    browsers = []

    def start(rules=RULES, more="", **options):
        directory = tmp_path / "rules.d"
        directory.mkdir()
        (directory / "own.txt").write_text(rules)
        hosts = tmp_path / "hosts"
        hosts.write_text(HOSTS)
        proxy = start_proxy(more, hosts_file=str(hosts), rules_dir=str(directory),
                            access_log="json", **options)
        browser = Browser(tmp_path / "browser", proxy)
        browsers.append(browser)
        return proxy, browser
    yield start
    for browser in browsers:
        browser.stop()


LAYOUT = """JSON.stringify([...document.querySelectorAll('#article, #article *')]
    .filter(one => !one.closest('.ad-container, .sponsored, [hidden]'))
    .map(one => [one.localName, one.getBoundingClientRect().toJSON(),
                 [...getComputedStyle(one)].map(name => name + getComputedStyle(one)[name]).join()]))"""
TEXT = "document.getElementById('article').innerText"
SEEN = """JSON.stringify([...document.querySelectorAll(
    '.ad-container, #sticky, .consent, iframe, img, .sponsored, .late-ad, .late-frame > div')]
    .filter(one => one.getBoundingClientRect().height > 0).map(one => one.outerHTML))"""
READY = "document.documentElement.dataset.ready == 1"
LATE_HIDDEN = """document.querySelector('.late-ad').getBoundingClientRect().height == 0 &&
    document.querySelector('.late-frame > div').getBoundingClientRect().height == 0"""


def read(browser, url):
    assert browser.visit(url) is None
    wait_for("the page's script", lambda: browser.evaluate(READY))


def look(browser, url):
    """What a reader has of a page once its late ad is gone."""
    read(browser, url)
    return look_again(browser)


def look_again(browser):
    wait_for("the page's script", lambda: browser.evaluate(READY))
    wait_for("the late ad hidden", lambda: browser.evaluate(LATE_HIDDEN))
    assert json.loads(browser.evaluate(SEEN)) == []
    return browser.evaluate(TEXT), json.loads(browser.evaluate(LAYOUT))


@pytest.mark.parametrize("kind", KINDS)
def test_ads_are_neither_asked_for_nor_seen(site, ads, start_reader, kind):
    proxy, browser = start_reader()
    base = "http://news.example:%d/%s/" % (site.port, kind)
    text, layout = look(browser, base + "clean.html")
    assert "Caf\u00e9 na\u00efve" in text and len(layout) > 20
    got_text, got_layout = look(browser, base + "ads.html")
    assert got_text == text
    assert got_layout == layout
    assert ads.requests == []
    assert not any("/banners/" in url for _, url, _ in browser.requests.values())
    assert browser.console == []


def statuses(proxy, url):
    """Of the requests for it that came to the proxy."""
    lines = [json.loads(line) for line in proxy.log().splitlines() if line.startswith("{")]
    return [line["status"] for line in lines if line["url"] == url]


def test_validated_and_cached_pages_stay_clean(site, ads, start_reader):
    proxy, browser = start_reader()
    kept, url = ("http://news.example:%d/%s/ads.html" % (site.port, kind) for kind in ("kept", "plain"))
    first = look(browser, kept)
    browser.visit("about:blank")
    assert look(browser, kept) == first
    wait_for("line in the log", lambda: statuses(proxy, kept))
    assert statuses(proxy, kept) == [200]  # the second time it came from the browser's cache
    first = look(browser, url)
    browser.reload()
    assert look_again(browser) == first
    wait_for("304", lambda: statuses(proxy, url) == [200, 304])
    browser.visit("about:blank")
    assert look(browser, url) == first
    assert ads.requests == [] and browser.console == []
    # The same fields come with a 304 as came with the page.
    page = ask(proxy, url, headers=[("Accept", "text/html")])
    again = ask(proxy, url, headers=[("Accept", "text/html"),
                                     ("If-None-Match", page.fields["etag"])])
    assert again.status == 304
    assert again.fields["content-security-policy"] == page.fields["content-security-policy"]
    assert "sha256-" in page.fields["content-security-policy"]
    assert "nonce" not in page.fields["content-security-policy"]


def test_new_rules_are_in_force_for_old_pages(site, start_reader, tmp_path):
    proxy, browser = start_reader()
    url = "http://news.example:%d/plain/ads.html" % site.port
    look(browser, url)
    table = "document.querySelector('#article table').getBoundingClientRect().height"
    assert browser.evaluate(table) > 0
    (tmp_path / "rules.d" / "own.txt").write_text(RULES + "news.example##table\n")
    reload_rules(proxy)

    def is_gone():
        read(browser, url)
        return browser.evaluate(table) == 0
    wait_for("the new rule", is_gone)
    assert browser.console == []


@pytest.mark.parametrize("strip", ["hollow", "remove"])
def test_other_ways_to_strip(site, ads, start_reader, strip):
    _, browser = start_reader(strip=strip)
    base = "http://news.example:%d/plain/" % site.port
    text, layout = look(browser, base + "clean.html")
    got_text, got_layout = look(browser, base + "ads.html")
    assert (got_text, got_layout) == (text, layout)
    assert "Buy" not in browser.evaluate("document.body.textContent")
    assert ads.requests == [] and browser.console == []


def test_sites_may_differ(site, ads, start_reader):
    more = 'site "news.example" {\n strip = remove\n remove_blocked = no\n}'
    _, browser = start_reader(more=more)
    read(browser, "http://news.example:%d/plain/ads.html" % site.port)
    assert browser.evaluate("document.querySelectorAll('iframe').length") == 1
    assert browser.evaluate("document.querySelectorAll('.ad-container').length") == 0
    assert ads.requests == []  # the proxy stops them


def test_a_frame_in_a_sandbox_is_stripped_and_says_nothing(start_origin, start_reader):
    frame = b"<!doctype html><body><div class=ad-container style='height: 9px'></div><script>" \
        b"parent.postMessage([document.querySelector('.ad-container').offsetHeight, origin], '*')</script>"
    outer = b"<!doctype html><link rel=icon href=data:,><body><script>addEventListener('message', got => {" \
        b"document.documentElement.dataset.said = got.data })</script><iframe sandbox=allow-scripts src=/frame>"
    site = start_origin(answering(lambda request: reply(
        frame if request.target == "/frame" else outer, headers=[("Content-Type", "text/html")])))
    _, browser = start_reader("##.ad-container\n")
    assert browser.visit("http://news.example:%d/" % site.port) is None
    said = wait_for("the frame's word", lambda: browser.evaluate("document.documentElement.dataset.said"))
    assert said == "0,null" and browser.console == []


# ---- pages that a script takes over ----------------------------------------------------------------

APP = """\
const App = (h, text) => h('main', null, h('h1', null, 'Title'),
    h('div', { class: 'ad-container', className: 'ad-container' }, h('p', null, 'Ad')),
    h('p', { id: 'text' }, text), h('p', null, 'The ', h('b', null, 'end'), '.'));
"""
SERVER = {
    "react": """
const h = (name, props, ...children) => {
    if (props) delete props.class;
    return require('react').createElement(name, props, ...children);
};
""" + APP + """
console.log(require('react-dom/server').renderToString(h(() => App(h, 'words'))));
""",
    "vue": """
const vue = require('vue');
const h = (name, props, ...children) => {
    if (props) delete props.className;
    return vue.h(name, props, children);
};
""" + APP + """
require('vue/server-renderer').renderToString(vue.createSSRApp({ render: () => App(h, 'words') }))
    .then(text => console.log(text));
""",
}
CLIENT = {
    "react": """
const h = (name, props, ...children) => {
    if (props) delete props.class;
    return React.createElement(name, props, ...children);
};
""" + APP + """
const Whole = () => {
    const [text, say] = React.useState('words');
    React.useEffect(() => { window.say = say; document.documentElement.dataset.ready = 1; }, []);
    return App(h, text);
};
ReactDOM.hydrateRoot(document.getElementById('root'), React.createElement(Whole));
""",
    "vue": """
const h = (name, props, ...children) => {
    if (props) delete props.className;
    return Vue.h(name, props, children);
};
""" + APP + """
const text = Vue.ref('words');
Vue.createSSRApp({ render: () => App(h, text.value) }).mount('#root');
window.say = words => { text.value = words; };
document.documentElement.dataset.ready = 1;
""",
}
PACKAGES = {  # the builds for development say of every attribute that it is not theirs
    "react": (["react@18", "react-dom@18"], ["react/umd/react.%s.js", "react-dom/umd/react-dom.%s.js"],
              ["production.min", "development"]),
    "vue": (["vue@3"], ["vue/dist/vue.%s.js"], ["global.prod", "global"]),
}


def install(directory, packages):
    """By npm, where there is one and its registry answers; else the test is skipped."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm here")
    directory.mkdir()
    got = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent",
                          *packages], cwd=directory, capture_output=True, timeout=120, check=False)
    if got.returncode:
        pytest.skip("npm has no %s for us: %s" % (packages, got.stderr[-200:]))


@pytest.mark.parametrize("framework, build", [(framework, build) for framework in PACKAGES for build in (0, 1)])
def test_a_script_takes_over_what_the_server_made(start_origin, start_reader, tmp_path, framework, build):
    packages, files, builds = PACKAGES[framework]
    files = [file % builds[build] for file in files]
    install(tmp_path / "npm", packages)
    markup = subprocess.run(["node", "-e", SERVER[framework]], cwd=tmp_path / "npm", check=True,
                            stdout=subprocess.PIPE).stdout.strip()
    scripts = {"/%d.js" % i: (tmp_path / "npm" / "node_modules" / file).read_bytes()
               for i, file in enumerate(files)}
    scripts["/app.js"] = CLIENT[framework].encode()
    html = b"<!doctype html><meta charset=utf-8><title>x</title><link rel=icon href=data:,>" \
        b"<div id=root>" + markup + b"</div>" + \
        b"".join(b"<script src=%s></script>" % name.encode() for name in scripts)

    def answer(request):
        if request.target in scripts:
            return reply(scripts[request.target], headers=[("Content-Type", "text/javascript")])
        return reply(html, headers=[("Content-Type", "text/html")])
    site = start_origin(answering(answer))
    _, browser = start_reader()
    read(browser, "http://news.example:%d/" % site.port)
    ad = "document.querySelector('.ad-container')"
    assert browser.evaluate("document.getElementById('text').innerText") == "words"
    assert browser.evaluate(ad + ".getBoundingClientRect().height") == 0
    assert browser.evaluate(ad + ".textContent") == "Ad"
    browser.evaluate("say('other words')")
    wait_for("the framework at work", lambda: browser.evaluate(
        "document.getElementById('text').innerText") == "other words")
    assert browser.evaluate(ad + ".getBoundingClientRect().height") == 0
    assert browser.console == []
