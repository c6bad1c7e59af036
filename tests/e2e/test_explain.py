"""`dejunk explain`: verdicts, every rule that matches and what it does, exit codes, text and JSON."""
import json
import os

import pytest
from test_cli import dejunk, write

RULES = r"""! Title: ours
||ads.example^
@@||ads.example/ok/$script
||ads.example/ok/bad^$important,redirect=noopjs
$removeparam=utm
||news.example^$csp=script-src 'none'
@@||free.example^$document
/ads.js$domain=news.example|blog.example
||client.example^$client=192.0.2.0/24|alice
||method.example^$method=post
||out.example^$urlskip=?to,document
||out.example^$uritransform=/old/new/
||head.example^$removeheader=refresh
||cookie.example^$cookie=uid
/with"quotes\
||bücher.example^
*$ghide,domain=nowhere.example
||both.example^
||both.example^$image
@@||both.example^$badfilter
$removeparam=_y
$removeparam=/^fb_/
"""


@pytest.fixture
def explain(tmp_path):
    path = write(tmp_path / "list.txt", RULES)

    def explained(url, *options, trusted=False):
        code, out, err = dejunk("explain", "--trusted" if trusted else "--list", path, "--json", url, *options)
        assert err == ""
        got = json.loads(out)
        for rule in got["rules"]:
            written = RULES.splitlines()[rule["line"] - 1]
            assert rule["list"] == path
            assert rule["rule"] == written.replace("bücher", "xn--bcher-kva")  # names as the DNS has them
        assert {"allowed": 0, "blocked": 10, "modified": 11}[got["outcome"]] == code
        return got
    return explained


NEWS = ("--from", "http://news.example/", "--type", "script")


def roles(got):
    return {rule["line"]: rule["role"] for rule in got["rules"]}


@pytest.mark.parametrize("url, options, outcome, verdict, want", [
    ("http://ads.example/x.js", NEWS, "blocked", "block", {2: "blocks"}),
    ("http://ads.example/", (), "blocked", "block", {2: "blocks"}),
    ("http://ads.example/ok/ads.js", NEWS, "allowed", "exception", {2: "overridden", 3: "allows", 8: "idle"}),
    ("http://ads.example/ok/bad/ads.js", NEWS, "modified", "redirect",
     {2: "idle", 3: "outvoted", 4: "blocks", 8: "idle"}),
    ("http://ads.example/?_y=1", NEWS, "blocked", "block", {2: "blocks", 21: "idle"}),
    ("http://good.example/?_y=1&fb_x=2", (), "modified", "allow", {21: "changes", 22: "changes"}),
    ("http://good.example/?x=_y&y=fb_", (), "allowed", "allow", {}),
    ("http://good.example/?a=1&utm=3", (), "modified", "allow", {5: "changes"}),
    ("http://good.example/?a=1&utm_not=3", (), "allowed", "allow", {}),
    ("http://good.example/?a=1", (), "allowed", "allow", {}),
    ("http://news.example/", (), "modified", "allow", {6: "changes"}),
    ("http://news.example/x.js", NEWS, "allowed", "allow", {}),
    ("http://ads.example/x.js", ("--from", "free.example", "--type", "script"), "allowed", "exception",
     {2: "overridden", 7: "page"}),
    ("http://client.example/", ("--client", "192.0.2.9"), "blocked", "block", {9: "blocks"}),
    ("http://client.example/", ("--client", "alice"), "blocked", "block", {9: "blocks"}),
    ("http://client.example/", ("--client", "192.0.3.9"), "allowed", "allow", {}),
    ("http://client.example/", (), "allowed", "allow", {}),
    ("http://method.example/x", ("--method", "POST", "--type", "xhr"), "blocked", "block", {10: "blocks"}),
    ("http://method.example/x", ("--type", "xhr"), "allowed", "allow", {}),
    ("http://head.example/", (), "modified", "allow", {13: "changes"}),
    ("http://cookie.example/", (), "modified", "allow", {14: "changes"}),
    ('http://good.example/with"quotes\\', ("--from", "a.example"), "blocked", "block", {15: "blocks"}),
    ("http://xn--bcher-kva.example/", (), "blocked", "block", {16: "blocks"}),
    ("http://both.example/x.gif", ("--type", "image"), "blocked", "block", {18: "blocks", 19: "idle"}),
])
def test_what_each_rule_does(explain, url, options, outcome, verdict, want):
    got = explain(url, *options)
    assert (got["outcome"], got["verdict"]) == (outcome, verdict)
    assert roles(got) == want
    if verdict == "allow":
        assert got["decided_by"] is None
    elif "page" not in want.values():
        assert want[got["decided_by"]["line"]] in ("blocks", "allows")


def test_what_it_becomes(explain):
    assert explain("http://ads.example/ok/bad/", *NEWS)["redirect"] == "noopjs"
    assert explain("http://good.example/?a=1&utm=3&b=%7e#x")["new_url"] == "http://good.example/?a=1&b=%7e#x"
    skip = "http://out.example/?to=http%3A%2F%2Fgood.example%2Fx"
    assert explain(skip)["new_url"] is None
    assert explain(skip, trusted=True)["new_url"] == "http://good.example/x"
    assert explain("http://out.example/old", *NEWS, trusted=True)["new_url"] == "http://out.example/new"
    assert explain("http://out.example/old", *NEWS)["outcome"] == "allowed"


def test_the_request_is_shown(explain):
    got = explain("http://ads.example/x", "--from", "http://news.example/", "--type", "css", "--method", "PUT",
                  "--client", "::1")
    assert [got[key] for key in ("url", "from", "type", "method", "client")] == [
        "http://ads.example/x", "http://news.example/", "stylesheet", "PUT", "::1"]
    assert explain("http://ads.example/x")["type"] == "document"
    assert explain("http://ads.example/x", "--from", "a.example")["type"] == "other"


def test_text_for_people(tmp_path):
    path = write(tmp_path / "list.txt", RULES)
    code, out, err = dejunk("explain", "-l", path, "http://ads.example/ok/ads.js", *NEWS)
    assert (code, err) == (0, "")
    assert out == f"""Allowed by an exception
  script http://ads.example/ok/ads.js
  from http://news.example/

  ||ads.example^
      {path}, line 2: would block it

  @@||ads.example/ok/$script
      {path}, line 3: lets it through

  /ads.js$domain=news.example|blog.example
      {path}, line 8: matches as well
"""
    code, out, err = dejunk("explain", "-l", path, "http://good.example/?utm=1&b=2")
    assert code == 11
    assert out == f"""Allowed: no rule stops it; changed on the way
  document http://good.example/?utm=1&b=2
  becomes http://good.example/?b=2

  $removeparam=utm
      {path}, line 5: takes parameters out of the URL
"""
    assert dejunk("explain", "-l", path, "http://good.example/")[1] == (
        "Allowed: no rule stops it\n  document http://good.example/\n")


def test_only_so_many_rules_are_shown(tmp_path):
    for count in (1000, 1001):
        path = write(tmp_path / "list.txt", "".join("||ads.example^$domain=~x%d.example\n" % i for i in range(count)))
        out = dejunk("explain", "-l", path, "-j", "http://ads.example/x", *NEWS)[1]
        assert len(json.loads(out)["rules"]) == 1000


def test_several_lists_in_their_order(tmp_path):
    first, second = write(tmp_path / "1.txt", "\n||ads.example^$script\n"), write(tmp_path / "2.txt", "||ads.example^\n")
    code, out, _ = dejunk("explain", "-l", first, "-l", second, "-j", "http://ads.example/x", *NEWS)
    assert code == 10
    assert [(rule["list"], rule["line"]) for rule in json.loads(out)["rules"]] == [(first, 2), (second, 1)]


def test_a_compiled_database(tmp_path):
    path = write(tmp_path / "list.txt", RULES)
    database = str(tmp_path / "rules.db")
    assert dejunk("lists", "compile", "-o", database, path)[0] == 0
    assert dejunk("explain", "--database", database, "http://ads.example/")[0] == 10
    with open(database, "r+b") as file:
        file.seek(os.path.getsize(database) // 2)
        file.write(b"\xff" * 64)
    code, out, err = dejunk("explain", "--database", database, "http://ads.example/")
    assert code == 65 and out == "" and "dejunk: " in err
    assert dejunk("explain", "--database", "/nonexistent/x", "http://ads.example/")[0] == 66


def test_without_lists_the_configuration_is_asked(tmp_path):
    ours = write(tmp_path / "mine.txt", "||ads.example^\n")
    write(tmp_path / "rules.d" / "own.txt", "||own.example^\n")
    config = write(tmp_path / "proxy.conf",
                   'list "mine" { file = "%s" }\nrules_dir = "%s/rules.d"\n' % (ours, tmp_path))
    code, out, err = dejunk("explain", "-c", config, "-j", "http://ads.example/")
    assert (code, err) == (10, "")
    assert json.loads(out)["decided_by"] == {"rule": "||ads.example^", "list": "mine", "line": 1}
    assert dejunk("explain", "-c", config, "http://own.example/")[0] == 10
    assert dejunk("explain", "-c", config, "http://other.example/")[0] == 0
    code, out, err = dejunk("explain", "-c", config, "-D", "filter=no", "http://ads.example/")
    assert code == 10 and "filter = no" in err
    assert dejunk("explain", "-c", config, "-D", "filter=maybe", "http://ads.example/")[0] == 78


@pytest.mark.parametrize("arguments, code, err", [
    (["ads.example"], 64, '"ads.example" is no absolute URL'),
    (["http://"], 64, '"http://" is no absolute URL'),
    (["--type", "banner", "http://ads.example/"], 64, 'unknown type "banner"'),
    (["--list", "/nonexistent/list", "http://ads.example/"], 66, "/nonexistent/list"),
    ([], 64, ""),
])
def test_mistakes(arguments, code, err):
    got = dejunk("explain", *(["-l", "/dev/null"] if "--list" not in arguments else []), *arguments)
    assert got[0] == code and got[1] == ""
    assert err in got[2]


def test_batch(tmp_path):
    path = write(tmp_path / "list.txt", RULES)
    lines = "script\thttp://news.example/\thttp://ads.example/x.js\nscript\thttp://news.example/\thttp://ads.example/ok/x\n" \
            "image\t\thttp://good.example/x\nscript\ta.example\thttp://ads.example/ok/bad/\n"
    code, out, err = dejunk("explain", "-l", path, "--batch", "--words", stdin=lines)
    assert (code, out, err) == (0, "block\nexception\nallow\nredirect\n", "")
    code, out, err = dejunk("explain", "-l", path, "--batch", stdin=lines)
    assert out.splitlines()[0] == f"block\t||ads.example^\t{path}:2"
    assert out.splitlines()[3] == f"redirect\t||ads.example/ok/bad^$important,redirect=noopjs\t{path}:4\tnoopjs"
    code, out, err = dejunk("explain", "-l", path, "--batch", stdin="script\t\thttp://a/\nbanner\t\thttp://a/\n")
    assert code == 65 and "line 2" in err
