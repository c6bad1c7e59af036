"""Nothing in the program can take an origin's certificate that OpenSSL did not verify: there is one
place that makes handshakes with origins, and one way through it to ORIGIN_GOOD."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sources():
    for folder, _, names in os.walk(os.path.join(TOP, "src")):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path) as file:
                    text = file.read()
                text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
                yield os.path.relpath(path, TOP), re.sub(r"//.*", "", text)


def places(pattern):
    return sorted((path, found.group()) for path, text in sources()
                  for found in re.finditer(pattern, text))


def test_verification_is_never_switched_off():
    assert places(r"SSL_VERIFY_NONE|X509_V_FLAG_PARTIAL_CHAIN|X509_V_FLAG_NO_CHECK_TIME|"
                  r"SSL_set_verify\b|SSL_set_verify_result|SSL_CTX_set_default_verify") == []


def test_one_place_makes_clients():
    assert places(r"(?:TLS|SSLv23|DTLS)_(?:client_)?method") == [
        ("src/trust/origin.c", "TLS_client_method")]
    assert places(r"SSL_CTX_set_verify\b.*") == [
        ("src/trust/origin.c", "SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);")]
    assert places(r"SSL_CTX_set_cert_verify_callback\b.*") == [
        ("src/trust/origin.c", "SSL_CTX_set_cert_verify_callback(context, on_chain, NULL);")]


def test_one_way_leads_to_good():
    text = dict(sources())["src/trust/origin.c"]
    judge = text[text.index("enum origin_verdict origin_judge("):]
    judge = judge[:judge.index("\n}")]
    assert text.count("ORIGIN_GOOD") == 1 and judge.count("return ORIGIN_GOOD") == 1
    for check in ["is_refused", "SSL_is_init_finished", "judge_ended("]:
        assert judge.index(check) < judge.index("return ORIGIN_GOOD")
    ended = text[text.index("static enum error_kind judge_ended("):text.index(
        "enum origin_verdict origin_judge(")]
    assert "SSL_get_verify_result(ssl) != X509_V_OK" in ended
    # The one callback that says yes to what OpenSSL refused is about revocation lists alone.
    assert places(r"X509_STORE_CTX_set_error\(\w+, X509_V_OK\)") == [
        ("src/trust/verify.c", "X509_STORE_CTX_set_error(context, X509_V_OK)")]
