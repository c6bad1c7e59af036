"""Rules and requests with what must come of them, made of other blockers' own tests and of real
lists: $DEJUNK_SHARED/engine/open. Skipped where they are not at hand."""
import gzip
import json
import os
import subprocess

import pytest

BUILD = os.path.dirname(os.environ.get('DEJUNK', 'build/dejunk'))
CASES = os.path.join(os.environ.get('DEJUNK_SHARED', '../shared'), 'engine', 'open')
SCORED = ('agreed', 'single', 'own')
OTHERWISE = {
    'v00386': 'match-case without a regular expression: Adblock Plus and AdGuard know it, and '
              "AdGuard's base list has it; the others refuse such rules",
}


def read_cases(name):
    path = os.path.join(CASES, name)
    if not os.path.exists(path):
        pytest.skip(f'no {name}: DEJUNK_SHARED names no folder with the cases')
    with gzip.open(path, 'rt') as lines:
        return [json.loads(line) for line in lines]


def question(case):
    lines = ['R ' + rule for rule in case['rules']]
    lines.append('U ' + (case.get('url') or 'https://%s/' % case.get('hostname', 'x.test')))
    for letter, key in (('S', 'source'), ('T', 'type'), ('M', 'method')):
        if case.get(key):
            lines.append(f'{letter} {case[key]}')
    for name, value in case.get('headers', {}).items():
        lines.append(f'H {name}: {value}')
    if 'body' in case:
        lines.append('B ' + case['body'].encode().hex())
    return '\n'.join(lines) + '\n.\n'


def answers(cases):
    """For each case a dictionary: word -> list of texts."""
    run = subprocess.run([os.path.join(BUILD, 'tests', 'ask_rules')], check=True, timeout=280,
                         input=''.join(map(question, cases)).encode(), stdout=subprocess.PIPE)
    out, one = [], {}
    for line in run.stdout.decode().split('\n')[:-1]:
        if line == '.':
            out.append(one)
            one = {}
        else:
            word, _, text = line.partition(' ')
            one.setdefault(word, []).append(text)
    assert len(out) == len(cases)
    return out


def got(case, answer):
    """What the case's `expect` would have to be for our answer to be right; None: not asked."""
    expect, out = case['expect'], {}
    for key in expect:
        if key == 'verdict':
            out[key] = answer['verdict'][0]
        elif key == 'redirect':
            out[key] = answer.get('redirect', [None])[0]
        elif key in ('csp', 'permissions'):
            out[key] = sorted(answer.get(key, []))
        elif key == 'url':
            out[key] = answer.get('url', [case['url']])[0]
            if answer['verdict'][0] == 'block':
                out[key] = case['url']
        elif key == 'body':
            out[key] = bytes.fromhex(answer['body'][0]).decode() if 'body' in answer else case['body']
        elif key == 'badfilter_negates':
            out[key] = answer['rules'][0] == '0'
        elif key == 'selectors':
            out[key] = sorted(answer.get('selector', []))
        elif key == 'cosmetic_applies':
            out[key] = 'selector' in answer
        else:
            return None
    return out


def wanted(case):
    return {key: sorted(value) if isinstance(value, list) else value
            for key, value in case['expect'].items()}


def differences(cases):
    out, asked = [], 0
    for case, answer in zip(cases, answers(cases)):
        ours = got(case, answer)
        if ours is None:
            continue
        asked += 1
        if ours != wanted(case):
            out.append((case, ours))
    return out, asked


def show(case, ours):
    keys = ('rules', 'url', 'source', 'type', 'method', 'headers', 'body', 'expect', 'note', 'agree')
    return '%s %s: ours %s, %s' % (case['id'], case['status'], ours,
                                   {key: case[key] for key in keys if case.get(key)})


def check(name):
    cases = [case for case in read_cases(name) if case['status'] in SCORED and case['id'] not in OTHERWISE]
    wrong, asked = differences(cases)
    assert asked
    assert not wrong, '%d of %d:\n' % (len(wrong), asked) + '\n'.join(
        show(case, ours) for case, ours in wrong[:40])


def test_syntax_cases():
    check('vectors.jsonl.gz')


def test_real_rules_match_their_requests():
    check('realfilters.jsonl.gz')
