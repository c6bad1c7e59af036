"""`dejunk strip`: what it makes of a page on standard input, by lists, by the configuration and by
selectors; what it says of it; the same bytes as the proxy sends."""
import pytest
from house import answering, ask, reply
from test_cli import dejunk, write

RULES = """\
! Title: ours
||ads.example^
##.ad
news.example##.own
news.example##^script:has-text(/b.d/)
news.example##p:has(> .sponsored)
"""
HEAD, BODY = "<!doctype html><html><head>", """<title>News</title></head><body>
<script>bad</script><script>good</script><img src=//ads.example/x.png>
<img srcset="a.png 1x, //ads.example/b.png 2x"><p class=ad>first<p class=own>second caf\u00e9
"""
PAGE = HEAD + BODY
STYLE = """<style>[hidden^="-"]{display:none!important}
.own{display:none!important}
p:has(> .sponsored){display:none!important}
</style>"""
STRIPPED = HEAD + STYLE + BODY.replace("<script>bad</script>", "").replace(
    "<p class=ad", '<p hidden="-" class=ad').replace("<img src=//ads.example/x.png>", "").replace(
    "a.png 1x, //ads.example/b.png 2x", "a.png 1x")


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "list.txt", RULES)


def strip(*options, page=PAGE):
    return dejunk("strip", *options, stdin=page)


@pytest.mark.parametrize("chunk", ["1", "7", "65536", "random:3"])
@pytest.mark.parametrize("option", ["--list", "--trusted"])
def test_by_a_list(path, option, chunk):
    assert strip(option, path, "--url", "http://news.example/", "--chunk", chunk) == (0, STRIPPED, "")


def test_why(path):
    code, out, err = strip("--list", path, "--url", "http://news.example/", "--why")
    assert (code, out) == (0, STRIPPED)
    assert [line.split("\t") for line in err.splitlines()] == [
        ["removed", "<script>", "-", "news.example##^script:has-text(/b.d/)", path + ":5"],
        ["removed", "<img>", "http://ads.example/x.png", "||ads.example^", path + ":2"],
        ["changed", "<img>", "http://ads.example/b.png", "||ads.example^", path + ":2"],
        ["hidden", "<p>", "-", "##.ad", path + ":3"],
        ["hidden", "<p>", "-", "news.example##.own", path + ":4"]]


@pytest.mark.parametrize("options, gone, kept", [
    (["--mode", "remove"], ["first", "second", "bad", "x.png"], ["good"]),
    (["--mode", "hollow"], ["first", "second"], ["class=ad", "class=own"]),
    (["--keep-blocked"], ["bad"], ["x.png", "b.png", "first"]),
    (["--url", "http://other.example/"], ["x.png"], ["bad", "second", 'hidden="-" class=ad']),
    (["--url", "http://news.example/", "--database", "DATABASE"], ["bad"], ["good", STYLE])])
def test_ways(path, tmp_path, options, gone, kept):
    database = str(tmp_path / "rules.db")
    assert dejunk("lists", "compile", "-o", database, path)[0] == 0
    options = [database if one == "DATABASE" else one for one in options]
    code, out, err = strip("--list", path, "--url", "http://news.example/", *options)
    assert (code, err) == (0, "")
    assert not any(one in out for one in gone) and all(one in out for one in kept)


def test_by_the_configuration(tmp_path):
    write(tmp_path / "rules.d" / "own.txt", RULES)
    config = write(tmp_path / "proxy.conf", 'rules_dir = "%s"\nlist "none" { file = "%s" }\n'
                   'site "news.example" { strip = remove\n remove_blocked = no }\n' % (
                       tmp_path / "rules.d", write(tmp_path / "none.txt", "! nothing\n")))
    code, out, err = strip("-c", config, "--url", "http://news.example/", "--why")
    assert code == 0 and "first" not in out and "x.png" in out
    assert "removed\t<p>\t-\t##.ad\t" in err and "own.txt:3" in err
    code, out, _ = strip("-c", config, "-D", "strip=hollow", "--url", "http://other.example/")
    assert code == 0 and '<p hidden="-" class=ad><p class=own>second' in out and "x.png" not in out


def test_nothing_is_put_in_where_no_rule_needs_it(tmp_path):
    path = write(tmp_path / "list.txt", "##^script\n##^.ad\n||ads.example^\n")
    code, out, err = strip("--list", path, "--url", "http://news.example/")
    assert (code, err) == (0, "")
    assert out.startswith(HEAD + "<title>") and "script" not in out and "first" not in out
    path = write(tmp_path / "list.txt", RULES + "@@||news.example^$document\n")
    assert strip("--list", path, "--url", "http://news.example/") == (0, PAGE, "")


def test_as_the_proxy_does(tmp_path, path, start_proxy, start_origin):
    origin = start_origin(answering(lambda request: reply(PAGE.encode(), headers=[
        ("Content-Type", "text/html; charset=utf-8")])))
    own = tmp_path / "none.d"
    own.mkdir()
    write(tmp_path / "hosts", "127.0.0.1 news.example\n")
    proxy = start_proxy('list "ours" { file = "%s" }' % path, rules_dir=str(own), hosts_file=str(tmp_path / "hosts"))
    url = "http://news.example:%d/" % origin.port
    got = ask(proxy, url, headers=[("Accept", "text/html")]).body.decode()
    before, script, behind = got.partition("<script>(function")
    assert script and before + behind.partition("</script>")[2] == STRIPPED.replace(
        'hidden="-"', 'hidden="-.ad"')


@pytest.mark.parametrize("options, code, text", [
    (["--url", "news"], 64, '"news" is no absolute URL: http://HOST/PATH is wanted'),
    (["--mode", "burn"], 64, "strip: --mode takes hide, hollow or remove"),
    (["--chunk", "0"], 64, "strip: --chunk takes a number of bytes, or random:SEED"),
    (["--list", "/nonexistent/x"], 66, "/nonexistent/x"),
    (["--database", "/nonexistent/x"], 66, "cannot read /nonexistent/x"),
    (["-c", "/nonexistent/x"], 78, "/nonexistent/x: cannot open it"),
    (["--selectors", "/nonexistent/x"], 66, "cannot read /nonexistent/x"),
    (["--list", "/nonexistent/x"] * 255, 66, "/nonexistent/x"),
    (["--list", "x"] * 256, 64, "more than 255 lists")])
def test_mistakes(options, code, text):
    got = strip(*options)
    assert (got[0], got[1]) == (code, "") and text in got[2], got


def test_by_selectors(tmp_path):
    path = write(tmp_path / "selectors", ".ad\n! a remark\np:has(b)\nscript:not([src])\n")
    code, out, err = strip("--selectors", path)
    assert code == 0 and out == PAGE.replace("<script>bad</script><script>good</script>", "").replace(
        "<p class=ad>first", "")
    assert path + ":3: not known while the page streams" in err
