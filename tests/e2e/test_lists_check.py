"""dejunk lists check: what becomes of each line of a list, with file, line and reason."""
import glob
import gzip
import os
import re
import subprocess

import pytest

DEJUNK = os.environ.get('DEJUNK', 'build/dejunk')
LISTS = os.path.join(os.environ.get('DEJUNK_SHARED', '../shared'), 'engine', 'lists')


def check(*arguments):
    run = subprocess.run([DEJUNK, 'lists', 'check', *map(str, arguments)], timeout=120,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return run.returncode, run.stdout


@pytest.fixture
def listed(tmp_path):
    """Writes a list, and files beside it, and checks it."""
    def look(text, *options, **beside):
        for name, other in beside.items():
            path = tmp_path / name.replace('__', '/').replace('_txt', '.txt')
            path.parent.mkdir(exist_ok=True)
            path.write_text(other)
        (tmp_path / 'list.txt').write_text(text)
        code, out = check(*options, tmp_path / 'list.txt')
        return code, out.replace(str(tmp_path) + '/', '')
    return look


LINES = [
    # what, line, reason or None
    ('a rule', '||ads.example^$script,3p', None),
    ('an unknown option', '||ads.example^$nonsense', 'unknown option'),
    ('an option without its value', '||ads.example^$domain=', 'option with a missing or wrong value'),
    ('an expression that does not compile', '/ads(/$script', 'regular expression that does not compile'),
    ('... in a domain', '||ads.example^$domain=/a(/', 'option with a missing or wrong value'),
    ('... in an address', '||ads.example^$ipaddress=/a(/', 'regular expression that does not compile'),
    ('... in a field', '||ads.example^$header=via:/a(/', 'regular expression that does not compile'),
    ('... in a parameter', '||ads.example^$removeparam=/a(/', 'regular expression that does not compile'),
    ('... in a cookie', '||ads.example^$cookie=/a(/;maxAge=1', 'option with a missing or wrong value'),
    ('a policy that reports', "||ads.example^$csp=script-src 'none'; report-uri /x",
     'option with a missing or wrong value'),
    ('... by another name', r'||ads.example^$csp=script-src *\,Report-To x', 'option with a missing or wrong value'),
    ('... of permissions', '||ads.example^$permissions=camera=()|report-to=x', 'option with a missing or wrong value'),
    ('a policy that is about reports', "||ads.example^$csp=script-src report.example", None),
    ('no referrer policy', '||ads.example^$referrerpolicy=none', 'option with a missing or wrong value'),
    ('no change of a cookie', '||ads.example^$cookie=uid;maxAge=soon', 'option with a missing or wrong value'),
    ('several parameters', '||ads.example^$removeparam=a|b', 'option with a missing or wrong value'),
    ('an exception with cname alone', '@@||ads.example^$cname', None),
    ('a pattern past its limit', '||ads.example/%s' % ('x' * 16384), 'too long'),
    ('a line past its limit', '||ads.example/%s' % ('x' * 65536), 'too long'),
    ('a pop-up', '||ads.example^$popup', 'a proxy sees no pop-up windows'),
    ('a scriptlet', 'page.example##+js(noop)', 'a proxy runs no scripts in pages'),
    ('a script', 'page.example#%#window.x = 1;', 'a proxy runs no scripts in pages'),
    ('a comment', '! ##.ad', None),
    ('element hiding', '##.ad', None),
    ('a field of the response', 'page.example##^responseheader(refresh)', None),
    ('... that protects', 'page.example##^responseheader(x-frame-options)', 'needs a trusted list'),
    ('a name that is none', '||ads.example^$domain=a.example|b c.example', 'one of its names is no '
     'host; the rest is in force'),
    ('... in a hosts file', '0.0.0.0 a.example b/c', 'one of its names is no host; the rest is in force'),
    ('... and no other', '0.0.0.0 b/c', 'not a host name'),
    ('no name but one that is none', '||ads.example^$domain=b c.example',
     'option with a missing or wrong value'),
    ('an unknown preprocessor line', '!#endif', 'unknown or unbalanced preprocessor line'),
    ('an included file that is not there', '!#include none.txt', 'included file that is not there, '
     'or too much of it'),
]


@pytest.mark.parametrize('what,line,reason', LINES, ids=[row[0] for row in LINES])
def test_a_line(listed, what, line, reason):
    code, out = listed('! Title: x\n%s\n' % line, '-i')
    shown = re.findall(r'^list.txt:2: ([^\n]*?): ', out, re.M)
    assert shown == ([reason] if reason else []), out
    is_bad = reason is not None and ' bad: ' in out
    assert code == (1 if is_bad else 0)


TRUST = [
    '||x.example^$replace=/a/b/',
    '||x.example^$uritransform=/a/b/',
    '||x.example^$urltransform=/a/b/',
    '||x.example^$urlskip=?u',
    r'||x.example^$jsonprune=\$.a',
    '||x.example^$xmlprune=//a',
    '||x.example^$removeheader=refresh:/a/',
    '||x.example^$removeheader=request:x-client:/a/',
    '||x.example^$removeheader=content-security-policy',
    '||x.example^$removeheader=X-Frame-Options',
]


@pytest.mark.parametrize('line', TRUST)
def test_what_only_trusted_lists_may(listed, line):
    code, out = listed(line + '\n')
    assert code == 0 and 'list.txt:1: needs a trusted list: ' in out
    assert '1 idle: needs a trusted list' in out and '100.00 % accepted' in out
    code, out = listed(line + '\n', '-t')
    assert code == 0 and 'trusted list' not in out and ' 1 network rules' in out


@pytest.mark.parametrize('steps', ['u', '?', '&0', '?u -base32', '/a(b/'])
def test_no_steps_of_urlskip(listed, steps):
    code, out = listed('||x.example^$urlskip=%s\n' % steps, '-t')
    assert code == 1 and 'list.txt:1: option with a missing or wrong value: ' in out


def test_what_every_list_may(listed):
    code, out = listed('||x.example^$removeheader=refresh\n||x.example^$removeparam=/^a/\n'
                       '@@||x.example^$replace\n||x.example^$cookie=/^a/\n')
    assert code == 0 and ' 4 network rules' in out


def test_conditions(listed):
    text = '!#if %s\n||yes.example^\n!#else\n||no.example^\n||no2.example^\n!#endif\n'
    for condition, holds in (('ext_ublock', True), ('!ext_ublock', False), ('unheard_of', False),
                             ('env_mobile || cap_html_filtering', True),
                             ('env_mobile && ext_ublock', False),
                             ('!(env_mobile || env_chromium) && ext_ublock', True)):
        code, out = listed(text % condition)
        assert code == 0 and (' %d network rules' % (1 if holds else 2)) in out, condition
        assert (' %d left out' % (2 if holds else 1)) in out
    code, out = listed(text % '(ext_ublock')
    assert code == 1 and 'list.txt:1: unknown or unbalanced preprocessor line: ' in out
    code, out = listed('!#if ext_ublock\n||x.example^\n')
    assert code == 1 and 'unknown or unbalanced preprocessor line' in out


def test_conditions_inside_of_each_other_have_a_limit(listed):
    def nested(depth):
        return '!#if true\n' * depth + '||x.example^\n' + '!#endif\n' * depth + '||y.example^\n'
    code, out = listed(nested(16))
    assert code == 0 and ' 2 network rules' in out
    code, out = listed(nested(17))
    assert code == 1 and ' 1 network rules' in out and ' 1 left out' in out
    assert out.count('unknown or unbalanced preprocessor line: ') == 1


def test_included_files(listed):
    code, out = listed('!#include more.txt\n!#include sub/deep.txt\n||a.example^\n',
                       more_txt='||b.example^\n||bad.example^$nonsense\n',
                       sub__deep_txt='||c.example^\n')
    assert code == 1 and ' 3 network rules' in out
    assert 'list.txt:1: unknown option: ||bad.example^$nonsense' in out  # the line that includes


@pytest.mark.parametrize('name', ['../more.txt', '/etc/hosts.txt', 'sub/../more.txt', './more.txt',
                                  'https://x.example/more.txt', 'more.conf', '.more.txt', '',
                                  'x' * 252 + '.txt'])
def test_no_file_elsewhere_is_included(listed, name):
    code, out = listed('!#include %s\n||a.example^\n' % name, more_txt='||b.example^\n')
    assert ' 1 network rules' in out and (code == 1 or name == '')


def test_including_has_limits(listed):
    code, out = listed('!#include list.txt\n||a.example^\n')  # itself: four times
    assert code == 1 and ' 5 network rules' in out and out.count('list.txt:1: included') == 1
    code, out = listed('!#include more.txt\n' * 64, more_txt='||b.example^\n')
    assert code == 0 and ' 64 network rules' in out
    code, out = listed('!#include more.txt\n' * 65, more_txt='||b.example^\n')
    assert code == 1 and ' 64 network rules' in out and 'list.txt:65: included' in out


def real_lists():
    return sorted(glob.glob(os.path.join(LISTS, '*.gz')) + glob.glob(os.path.join(LISTS, '*', '*.txt.gz')))


def test_real_lists_are_accepted():
    if not real_lists():
        pytest.skip('no lists: DEJUNK_SHARED names no folder with them')
    for path in real_lists():
        with gzip.open(path, 'rb') as lines:
            line_count = sum(1 for _ in lines)
        _, out = check(path)
        head = re.search(r': (\d+) lines: (\d+) network rules, (\d+) hosts, (\d+) cosmetic, '
                         r'(\d+) comments, (\d+) left out', out)
        counts = list(map(int, head.groups()))
        idle = sum(map(int, re.findall(r'^ +(\d+) idle: ', out, re.M)))
        bad = sum(map(int, re.findall(r'^ +(\d+) bad: ', out, re.M)))
        accepted = float(re.search(r'([\d.]+) % accepted', out).group(1))
        assert counts[0] == line_count, path
        assert accepted >= 99.5, path
        assert sum(counts[1:]) + idle + bad == line_count, path  # nothing is lost
