/* Handshakes with origins, in memory: what is offered, refused, resumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/ocsp.h>

#include "certificates.h"
#include "trust/origin.h"

static struct made root, authority, leaf;
static struct verify_roots *roots;
static struct origin_tls *tls;

static struct verify_roots *roots_of(struct span pem)
{
    struct verify_roots *set = NULL;
    struct error error;

    if (verify_roots_new(&set, NULL, pem, &error))
        fail_msg("%s", error.text);
    return set;
}

static int set_up(void **state)
{
    struct error error;
    struct buffer pem;
    (void)state;

    root = make_certificate(&(struct recipe)ROOT_RECIPE("test root"));
    authority = make_certificate(&(struct recipe){ .cn = "test CA",
                                                   .issuer = &root,
                                                   .basic = "critical,CA:TRUE,pathlen:0",
                                                   .usage = "critical,keyCertSign,cRLSign" });
    leaf = make_certificate(
        &(struct recipe){ .cn = "x",
                          .issuer = &authority,
                          LEAF_USAGE,
                          .names = "DNS:a.test.example,DNS:b.test.example,IP:127.0.0.1" });
    pem = pem_of(root.certificate);
    roots = roots_of(buffer_span(&pem));
    buffer_release(&pem);
    return origin_tls_new(&tls, &error);
}

static int tear_down(void **state)
{
    (void)state;
    free_made(&leaf);
    free_made(&authority);
    free_made(&root);
    verify_roots_unref(&roots);
    origin_tls_free(&tls);
    return 0;
}

static const struct server {
    int least, most;      // versions; 0: any
    const char *ciphers;  // of TLS 1.2
    const char *protocol; // by ALPN
    bool wants_certificate;
    const char *groups;
} plain = { 0 };

static int choose(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in,
                  unsigned in_size, void *argument)
{
    const char *protocol = argument;
    (void)ssl;

    return SSL_select_next_proto((unsigned char **)out, size, (const unsigned char *)protocol,
                                 (unsigned)strlen(protocol), in, in_size) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *serve(const struct server *server, const struct made *with)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_cipher_list(context, server->ciphers ? server->ciphers : "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context, server->least ? server->least : TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, server->most);
    if (server->groups)
        SSL_CTX_set1_groups_list(context, server->groups);
    SSL_CTX_set_dh_auto(context, 1);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"t", 1);
    if (server->protocol)
        SSL_CTX_set_alpn_select_cb(context, choose, (void *)server->protocol);
    if (server->wants_certificate)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (with) {
        SSL_CTX_use_certificate(context, with->certificate);
        SSL_CTX_add1_chain_cert(context, authority.certificate);
        SSL_CTX_use_PrivateKey(context, with->key);
    }
    return context;
}

static const struct origin_question question = { .host = { "a.test.example", 14 },
                                                 .port = 443,
                                                 .roots = NULL };

/* One handshake of ours with such a server. Free *ssl. */
static enum origin_verdict ask(SSL **ssl, SSL_CTX *server, const struct origin_question *asked,
                               struct origin_facts *facts, struct error *error)
{
    struct origin_question q = *asked;
    SSL *other = SSL_new(server);
    enum origin_verdict verdict;

    if (!q.roots)
        q.roots = roots;
    error->text[0] = '\0';
    if (origin_begin(ssl, tls, &q, error))
        fail_msg("%s", error->text);
    shake_hands(*ssl, other);
    verdict = origin_judge(*ssl, facts, error);
    if (verdict == ORIGIN_GOOD) { // tickets of TLS 1.3 come now
        char byte;
        SSL_read(*ssl, &byte, 1);
        SSL_shutdown(other);
    }
    SSL_free(other);
    return verdict;
}

static void takes_and_refuses_protocols(void **state)
{
    static const struct {
        const char *name;
        struct server server;
        const char *key;
        enum origin_verdict want;
    } rows[] = {
        { "TLS 1.3", { .least = TLS1_3_VERSION }, NULL, ORIGIN_GOOD },
        { "TLS 1.2", { .most = TLS1_2_VERSION }, NULL, ORIGIN_GOOD },
        { "TLS 1.1", { .most = TLS1_1_VERSION }, NULL, ORIGIN_FAILED },
        { "TLS 1.0", { .most = TLS1_VERSION }, NULL, ORIGIN_FAILED },
        { "CBC",
          { .most = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0" },
          NULL,
          ORIGIN_GOOD },
        { "no encryption",
          { .most = TLS1_2_VERSION, .ciphers = "eNULL:@SECLEVEL=0" },
          NULL,
          ORIGIN_FAILED },
        { "no certificate",
          { .most = TLS1_2_VERSION, .ciphers = "aNULL:@SECLEVEL=0" },
          NULL,
          ORIGIN_FAILED },
        { "RSA key exchange",
          { .most = TLS1_2_VERSION, .ciphers = "kRSA:@SECLEVEL=0" },
          "RSA:2048",
          ORIGIN_FAILED },
        { "DHE",
          { .most = TLS1_2_VERSION, .ciphers = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0" },
          "RSA:2048",
          ORIGIN_GOOD },
        { "a group that no browser has", { .groups = "X448" }, NULL, ORIGIN_FAILED },
        { "P-521", { .groups = "P-521" }, NULL, ORIGIN_GOOD },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made with = make_certificate(&(struct recipe){ .cn = "x",
                                                              .issuer = &authority,
                                                              LEAF_USAGE,
                                                              .names = "DNS:a.test.example",
                                                              .key = rows[i].key });
        SSL_CTX *server = serve(&rows[i].server, &with);
        struct error error;
        SSL *ssl;
        enum origin_verdict got = ask(&ssl, server, &question, NULL, &error);

        if (got != rows[i].want)
            fail_msg("%s: %d, %s", rows[i].name, got, error.text);
        SSL_free(ssl);
        SSL_CTX_free(server);
        free_made(&with);
    }
}

static void resumes_good_sessions(void **state)
{
    struct error error;
    (void)state;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct server kind = { .most = version };
        SSL_CTX *server = serve(&kind, &leaf);
        struct origin_question other = question, elsewhere = question;
        struct origin_facts facts;
        SSL *ssl;

        other.host = SPAN("b.test.example");
        other.port = elsewhere.port = (uint16_t)version;
        elsewhere.host = SPAN("127.0.0.1");
        assert_int_equal(ask(&ssl, server, &other, &facts, &error), ORIGIN_GOOD);
        assert_false(facts.is_resumed);
        SSL_free(ssl);
        assert_int_equal(ask(&ssl, server, &other, &facts, &error), ORIGIN_GOOD);
        assert_true(facts.is_resumed);
        assert_non_null(SSL_get0_peer_certificate(ssl));
        SSL_free(ssl);
        // Another host, though the server would take the session.
        assert_int_equal(ask(&ssl, server, &elsewhere, &facts, &error), ORIGIN_GOOD);
        assert_false(facts.is_resumed);
        SSL_free(ssl);
        SSL_CTX_free(server);
    }
}

static void a_session_is_verified_in_full_each_day(void **state)
{
    static const struct {
        time_t at;
        bool is_resumed;
    } steps[] = {
        { 0, false },
        { ORIGIN_RESUMED_S / 2, true },
        { ORIGIN_RESUMED_S - 1, true },
        { ORIGIN_RESUMED_S, false }, // though the last ticket is new
        { 2 * ORIGIN_RESUMED_S - 1, true },
        { 2 * ORIGIN_RESUMED_S, false },
        { ORIGIN_RESUMED_S, false }, // the clock was put back
    };
    struct error error;
    (void)state;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct server kind = { .most = version };
        SSL_CTX *server = serve(&kind, &leaf);
        struct origin_question asked = question;

        asked.port = (uint16_t)(version + 1000);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            struct origin_facts facts;
            SSL *ssl;

            asked.now = 1700000000 + steps[i].at;
            assert_int_equal(ask(&ssl, server, &asked, &facts, &error), ORIGIN_GOOD);
            if (facts.is_resumed != steps[i].is_resumed)
                fail_msg("version %x, step %zu", (unsigned)version, i);
            SSL_free(ssl);
        }
        SSL_CTX_free(server);
    }
}

static void a_session_is_verified_again_in_name_and_date(void **state)
{
    struct made brief = make_certificate(&(struct recipe){
        .cn = "x", .issuer = &authority, LEAF_USAGE, .names = "DNS:a.test.example" });
    struct verify verify;
    struct error error;
    (void)state;

    assert_int_equal(verify_init(&verify, roots, SPAN("a.test.example"), &error), 0);
    assert_int_equal(verify_again(&verify, brief.certificate, &error), ERROR_NONE);
    X509_gmtime_adj(X509_getm_notAfter(brief.certificate), -1);
    assert_int_equal(verify_again(&verify, brief.certificate, &error), ERROR_TLS);
    verify_done(&verify);
    assert_int_equal(verify_init(&verify, roots, SPAN("b.test.example"), &error), 0);
    X509_gmtime_adj(X509_getm_notAfter(brief.certificate), 100);
    assert_int_equal(verify_again(&verify, brief.certificate, &error), ERROR_TLS);
    assert_int_equal(verify_again(&verify, root.certificate, &error), ERROR_TLS);
    assert_non_null(strstr(error.text, "no subject alternative names"));
    verify_done(&verify);
    free_made(&brief);
}

static void other_roots_mean_other_sessions(void **state)
{
    struct made rogue = make_certificate(&(struct recipe)ROOT_RECIPE("another root"));
    struct buffer pem = pem_of(rogue.certificate);
    struct origin_question narrow = question;
    SSL_CTX *server = serve(&plain, &leaf);
    struct error error;
    char chain[200];
    SSL *ssl;
    (void)state;

    narrow.roots = roots_of(buffer_span(&pem));
    assert_int_equal(ask(&ssl, server, &question, NULL, &error), ORIGIN_GOOD);
    assert_string_equal(origin_chain_text(chain, sizeof chain, ssl),
                        "/CN=x < /CN=test CA < /CN=test root");
    SSL_free(ssl);
    assert_int_equal(ask(&ssl, server, &narrow, NULL, &error), ORIGIN_BAD_CERTIFICATE);
    assert_non_null(strstr(error.text, "issuer"));
    assert_string_equal(origin_chain_text(chain, sizeof chain, ssl), "/CN=x < /CN=test CA");
    SSL_free(ssl);
    verify_roots_unref(&narrow.roots);
    buffer_release(&pem);
    free_made(&rogue);
    SSL_CTX_free(server);
}

static void sessions_end_at_their_limit(void **state)
{
    SSL_CTX *server = serve(&(struct server){ .most = TLS1_2_VERSION }, &leaf);
    struct origin_question many = question;
    struct origin_facts facts;
    struct error error;
    SSL *ssl;
    (void)state;

    // The ports of the other tests are below.
    for (uint16_t i = 0; i <= ORIGIN_SESSIONS; i++) {
        many.port = (uint16_t)(10000 + i);
        assert_int_equal(ask(&ssl, server, &many, &facts, &error), ORIGIN_GOOD);
        SSL_free(ssl);
        assert_true(origin_session_count(tls) <= ORIGIN_SESSIONS);
    }
    assert_int_equal(origin_session_count(tls), ORIGIN_SESSIONS);
    assert_int_equal(ask(&ssl, server, &many, &facts, &error), ORIGIN_GOOD);
    assert_true(facts.is_resumed);
    SSL_free(ssl);
    many.port = 10000; // the oldest went
    assert_int_equal(ask(&ssl, server, &many, &facts, &error), ORIGIN_GOOD);
    assert_false(facts.is_resumed);
    SSL_free(ssl);
    SSL_CTX_free(server);
}

static void tells_who_wants_a_certificate(void **state)
{
    struct error error;
    (void)state;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server =
            serve(&(struct server){ .most = version, .wants_certificate = true }, &leaf);
        SSL *ssl;

        assert_int_equal(ask(&ssl, server, &question, NULL, &error), ORIGIN_WANTS_CERTIFICATE);
        assert_non_null(strstr(error.text, "client certificate"));
        SSL_free(ssl);
        SSL_CTX_free(server);
    }
}

/* It may want a certificate later: it is told no, and that it asked is known. */
static void hears_of_another_handshake(void **state)
{
    struct origin_question q = question;
    SSL_CTX *server = serve(&(struct server){ .most = TLS1_2_VERSION }, &leaf);
    SSL *ssl, *other = SSL_new(server);
    struct error error;
    char byte;

    (void)state;
    q.roots = roots;
    assert_int_equal(origin_begin(&ssl, tls, &q, &error), ERROR_NONE);
    assert_true(shake_hands(ssl, other));
    assert_int_equal(origin_judge(ssl, NULL, &error), ORIGIN_GOOD);
    assert_int_equal(SSL_write(other, "x", 1), 1);
    assert_int_equal(SSL_read(ssl, &byte, 1), 1);
    assert_false(origin_asked_again(ssl));
    SSL_set_verify(other, SSL_VERIFY_PEER, NULL);
    assert_int_equal(SSL_renegotiate(other), 1);
    SSL_do_handshake(other);
    assert_int_equal(SSL_read(ssl, &byte, 1), -1);
    assert_int_equal(SSL_get_error(ssl, -1), SSL_ERROR_WANT_READ);
    assert_true(origin_asked_again(ssl));
    SSL_free(other);
    SSL_free(ssl);
    SSL_CTX_free(server);
    ERR_clear_error();
}

static void offers_the_protocols_it_is_told(void **state)
{
    SSL_CTX *server = serve(&(struct server){ .protocol = "\2h2\10http/1.1" }, &leaf);
    struct origin_question asked = question;
    struct origin_facts facts;
    struct error error;
    SSL *ssl;
    (void)state;

    assert_int_equal(ask(&ssl, server, &asked, &facts, &error), ORIGIN_GOOD);
    assert_int_equal(facts.protocol.size, 0);
    SSL_free(ssl);
    asked.protocols = SPAN("\10http/1.1");
    assert_int_equal(ask(&ssl, server, &asked, &facts, &error), ORIGIN_GOOD);
    assert_true(span_equal(facts.protocol, SPAN("http/1.1")));
    SSL_free(ssl);
    asked.protocols = SPAN("\10http/1.1\2h2");
    assert_int_equal(ask(&ssl, server, &asked, &facts, &error), ORIGIN_GOOD);
    assert_true(span_equal(facts.protocol, SPAN("h2")));
    SSL_free(ssl);
    SSL_CTX_free(server);
}

/* ---- staples in a real handshake ---- */

static int staple_status;

static int staple(SSL *ssl, void *argument)
{
    struct made *served = argument;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), served->certificate, authority.certificate);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -60), *until = X509_gmtime_adj(NULL, 3600);
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;
    int size;

    if (staple_status >= 0) {
        OCSP_basic_add1_status(basic, id, staple_status, 0, from, from, until);
        OCSP_basic_sign(basic, authority.certificate, authority.key, EVP_sha256(), NULL, 0);
        response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
        size = i2d_OCSP_RESPONSE(response, &der);
        SSL_set_tlsext_status_ocsp_resp(ssl, der, size);
        OCSP_RESPONSE_free(response);
    }
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return staple_status >= 0 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void staples_decide(void **state)
{
    struct made must = make_certificate(&(struct recipe){ .cn = "x",
                                                          .issuer = &authority,
                                                          LEAF_USAGE,
                                                          .names = "DNS:a.test.example",
                                                          .feature = "status_request" });
    static const struct {
        bool must;
        int status;
        enum origin_verdict want;
    } rows[] = {
        { false, -1, ORIGIN_GOOD },
        { false, V_OCSP_CERTSTATUS_GOOD, ORIGIN_GOOD },
        { false, V_OCSP_CERTSTATUS_REVOKED, ORIGIN_BAD_CERTIFICATE },
        { true, -1, ORIGIN_BAD_CERTIFICATE },
        { true, V_OCSP_CERTSTATUS_GOOD, ORIGIN_GOOD },
        { true, V_OCSP_CERTSTATUS_REVOKED, ORIGIN_BAD_CERTIFICATE },
    };
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct made *with = rows[i].must ? &must : &leaf;
            SSL_CTX *server = serve(&(struct server){ .most = version }, with);
            struct origin_question asked = question;
            size_t before = origin_session_count(tls);
            struct error error;
            SSL *ssl;

            asked.port = (uint16_t)(20000 + 100 * version + (int)i);
            staple_status = rows[i].status;
            SSL_CTX_set_tlsext_status_cb(server, staple);
            SSL_CTX_set_tlsext_status_arg(server, with);
            if (ask(&ssl, server, &asked, NULL, &error) != rows[i].want)
                fail_msg("row %zu, version %x: %s", i, (unsigned)version, error.text);
            // What was not good is not resumed.
            if (rows[i].want != ORIGIN_GOOD)
                assert_int_equal(origin_session_count(tls), before);
            SSL_free(ssl);
            SSL_CTX_free(server);
        }
    }
    free_made(&must);
}

/* ---- offering no more than the browser ---- */

static struct hello hello_of(SSL_CTX *browser, struct hello_collector *collector)
{
    SSL *ssl = SSL_new(browser);
    BIO *out = BIO_new(BIO_s_mem());
    char *at;
    long size;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_connect(ssl);
    size = BIO_get_mem_data(out, &at);
    hello_collector_init(collector);
    assert_int_equal(hello_feed(collector, span_of(at, (size_t)size), NULL), HELLO_WHOLE);
    SSL_free(ssl);
    return collector->hello;
}

static void offers_no_more_than_the_browser(void **state)
{
    static const struct {
        const char *name, *ciphers, *suites, *groups;
        int most;
        const char *server_ciphers; // of TLS 1.2
        int server_most;
        bool want;
        int least;
    } rows[] = {
        { "the same", "ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "X25519:P-256", 0, NULL, 0, true,
          0 },
        { "no TLS 1.3", "ECDHE+AESGCM", "", "P-256", TLS1_2_VERSION, NULL, 0, true, 0 },
        { "server has TLS 1.2 alone", "ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "X25519:P-256", 0,
          NULL, TLS1_2_VERSION, true, 0 },
        { "not the curve of the leaf's key", "ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "X25519", 0,
          NULL, TLS1_2_VERSION, false, 0 },
        { "no CBC", "ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "X25519:P-256", 0,
          "ECDHE-ECDSA-AES128-SHA", TLS1_2_VERSION, false, 0 },
        { "TLS 1.3 alone", "ECDHE+AESGCM", "TLS_AES_256_GCM_SHA384", "P-384", 0, NULL, 0, true,
          TLS1_3_VERSION },
        { "TLS 1.3 alone, and the origin has it not", "ECDHE+AESGCM", "TLS_AES_256_GCM_SHA384",
          "P-256", 0, NULL, TLS1_2_VERSION, false, TLS1_3_VERSION },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SSL_CTX *browser = SSL_CTX_new(TLS_client_method());
        SSL_CTX *server = serve(
            &(struct server){ .most = rows[i].server_most, .ciphers = rows[i].server_ciphers },
            &leaf);
        struct origin_question asked = question;
        struct hello_collector collector, ours;
        struct hello hello;
        struct error error = { 0 };
        SSL *ssl;

        SSL_CTX_set_max_proto_version(browser, rows[i].most);
        SSL_CTX_set_min_proto_version(browser, rows[i].least);
        SSL_CTX_set_cipher_list(browser, rows[i].ciphers);
        SSL_CTX_set_ciphersuites(browser, rows[i].suites);
        SSL_CTX_set1_groups_list(browser, rows[i].groups);
        hello = hello_of(browser, &collector);
        asked.like = &hello;
        asked.port = (uint16_t)(5000 + i);
        if ((ask(&ssl, server, &asked, NULL, &error) == ORIGIN_GOOD) != rows[i].want)
            fail_msg("%s: %s", rows[i].name, error.text);
        SSL_free(ssl);

        // Every cipher and group we send, the browser sent too.
        asked.roots = roots;
        assert_int_equal(origin_begin(&ssl, tls, &asked, &error), ERROR_NONE);
        BIO *out = BIO_new(BIO_s_mem());
        char *at;
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        SSL_do_handshake(ssl);
        long size = BIO_get_mem_data(out, &at);
        hello_collector_init(&ours);
        assert_int_equal(hello_feed(&ours, span_of(at, (size_t)size), NULL), HELLO_WHOLE);
        for (size_t k = 0; k < ours.hello.ciphers.size; k += 2) {
            bool found = memcmp(ours.hello.ciphers.at + k, "\0\xff", 2) == 0; // renegotiation
            for (size_t m = 0; m < hello.ciphers.size; m += 2)
                found |= memcmp(ours.hello.ciphers.at + k, hello.ciphers.at + m, 2) == 0;
            if (!found)
                fail_msg("%s: cipher %zu", rows[i].name, k / 2);
        }
        for (size_t k = 0; k < ours.hello.groups.size; k += 2) {
            bool found = false;
            for (size_t m = 0; m < hello.groups.size; m += 2)
                found |= memcmp(ours.hello.groups.at + k, hello.groups.at + m, 2) == 0;
            assert_true(found);
        }
        SSL_free(ssl);
        hello_collector_done(&ours);
        hello_collector_done(&collector);
        SSL_CTX_free(browser);
        SSL_CTX_free(server);
    }
}

static void an_old_browser_gets_no_better_origin(void **state)
{
    struct origin_question asked = question;
    struct hello old = { .version = TLS1_1_VERSION, .ciphers = SPAN("\xc0\x2b") };
    struct hello weak = { .version = TLS1_2_VERSION, .ciphers = SPAN("\0\x05\0\x0a") };
    struct error error;
    SSL *ssl;
    (void)state;

    asked.roots = roots;
    asked.like = &old;
    assert_int_equal(origin_begin(&ssl, tls, &asked, &error), ERROR_TLS);
    asked.like = &weak;
    assert_int_equal(origin_begin(&ssl, tls, &asked, &error), ERROR_TLS);
    asked.host = SPAN("no host");
    assert_int_equal(origin_begin(&ssl, tls, &asked, &error), ERROR_SYNTAX);
}

/* ---- the classes of the shared kit, and the rest of the certificates that it makes ---- */

static const struct {
    const char *name;
    bool want;
    const char *host; // NULL: NAME.badtls.test
    int least, most;
    const char *ciphers;
    const char *dh;
} classes[] = {
    { .name = "ec256", .want = true },
    { .name = "ec384", .want = true },
    { .name = "rsa2048", .want = true },
    { .name = "rsa4096", .want = true },
    { .name = "sha384", .want = true },
    { .name = "wildcard-one", .want = true },
    { .name = "san-100", .want = true },
    { .name = "ip-san", .want = true, .host = "127.0.0.1" },
    { .name = "extra-cert", .want = true },
    { .name = "two-intermediates", .want = true },
    { .name = "empty-subject", .want = true },
    { .name = "tls12", .want = true, .most = TLS1_2_VERSION },
    { .name = "tls13", .want = true, .least = TLS1_3_VERSION },
    { .name = "expired" },
    { .name = "not-yet-valid" },
    { .name = "wrong-host" },
    { .name = "self-signed" },
    { .name = "untrusted-root" },
    { .name = "root-sent-untrusted" },
    { .name = "incomplete-chain" },
    { .name = "cn-not-in-san" },
    { .name = "cn-only" },
    { .name = "nul-san" },
    { .name = "wildcard-two-levels", .host = "a.b.badtls.test" },
    { .name = "wildcard-star", .host = "wildcard-star.test" },
    { .name = "wildcard-partial" },
    { .name = "ip-in-dns-san", .host = "127.0.0.1" },
    { .name = "intermediate-not-ca" },
    { .name = "pathlen" },
    { .name = "name-constraints" },
    { .name = "eku-client" },
    { .name = "unknown-critical" },
    { .name = "md5" },
    { .name = "sha1" },
    { .name = "sha1-intermediate" },
    { .name = "rsa1024" },
    { .name = "p192" },
    { .name = "expired-intermediate" },
    { .name = "no-san-no-cn" },
    { .name = "must-staple" },
    { .name = "ku-no-sign" },
    { .name = "v1-intermediate" },
    { .name = "bad-signature" },
    { .name = "long-chain" },
    { .name = "tls10", .least = TLS1_VERSION, .most = TLS1_VERSION },
    { .name = "tls11", .least = TLS1_1_VERSION, .most = TLS1_1_VERSION },
    { .name = "null-cipher", .most = TLS1_2_VERSION, .ciphers = "eNULL:@SECLEVEL=0" },
    { .name = "anon-cipher", .most = TLS1_2_VERSION, .ciphers = "aNULL:@SECLEVEL=0" },
    { .name = "dh1024",
      .most = TLS1_2_VERSION,
      .ciphers = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0",
      .dh = "dh1024.dh" },
    { .name = "dh512",
      .most = TLS1_2_VERSION,
      .ciphers = "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0",
      .dh = "dh512.dh" },
};

static char *read_text(const char *folder, const char *name, const char *suffix, size_t *size)
{
    char path[4096], *text = malloc(1 << 20);
    FILE *file;

    snprintf(path, sizeof path, "%s/tls/%s%s", folder, name, suffix);
    file = fopen(path, "r");
    if (!file)
        fail_msg("no %s", path);
    *size = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

static SSL_CTX *serve_class(const char *folder, size_t i)
{
    SSL_CTX *context = serve(&(struct server){ classes[i].least, classes[i].most,
                                               classes[i].ciphers, NULL, false, NULL },
                             NULL);
    char path[4096];

    snprintf(path, sizeof path, "%s/tls/%s.chain", folder, classes[i].name);
    if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
        fail_msg("no %s", path);
    snprintf(path, sizeof path, "%s/tls/%s.key", folder, classes[i].name);
    if (SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1)
        fail_msg("no %s", path);
    if (classes[i].dh) {
        BIO *bio;
        EVP_PKEY *group;

        snprintf(path, sizeof path, "%s/tls/%s", folder, classes[i].dh);
        bio = BIO_new_file(path, "r");
        group = PEM_read_bio_Parameters(bio, NULL);
        SSL_CTX_set_dh_auto(context, 0);
        if (!SSL_CTX_set0_tmp_dh_pkey(context, group))
            EVP_PKEY_free(group); // OpenSSL will not serve so small a one
        BIO_free(bio);
    }
    return context;
}

static void judges_the_classes_of_the_kit(void **state)
{
    const char *shared = getenv("DEJUNK_SHARED");
    char folder[] = "/tmp/dejunk-test-XXXXXX", command[4096];
    struct verify_roots *kit_roots;
    size_t size;
    char *pem;
    (void)state;

    if (!shared)
        shared = "../shared";
    snprintf(command, sizeof command, "%s/kits/tlsverify/run.py", shared);
    if (access(command, R_OK) != 0) {
        print_message("no kit at %s\n", command);
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command,
             "cp '%s/kits/tlsverify/run.py' %s/ && "
             "/usr/bin/python3 %s/run.py --make >/dev/null",
             shared, folder, folder);
    assert_int_equal(system(command), 0);
    pem = read_text(folder, "root", ".pem", &size);
    kit_roots = roots_of(span_of(pem, size));
    free(pem);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        SSL_CTX *server = serve_class(folder, i);
        struct origin_question asked = { .port = 443, .roots = kit_roots };
        char host[200];
        struct error error;
        SSL *ssl;

        snprintf(host, sizeof host, "%s.badtls.test", classes[i].name);
        asked.host = span_text(classes[i].host ? classes[i].host : host);
        if ((ask(&ssl, server, &asked, NULL, &error) == ORIGIN_GOOD) != classes[i].want)
            fail_msg("%s: %s", classes[i].name, error.text);
        SSL_free(ssl);
        SSL_CTX_free(server);
    }
    verify_roots_unref(&kit_roots);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* ---- large certificates ---- */

static enum origin_verdict ask_with_names(size_t count, struct error *error)
{
    char *names = malloc(40 * count + 40);
    size_t size = 0;
    struct made with;
    SSL_CTX *server;
    SSL *ssl;
    enum origin_verdict verdict;

    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(names + size, 40, "DNS:host-%zu.test.example,", i);
    snprintf(names + size, 40, "DNS:a.test.example");
    with = make_certificate(
        &(struct recipe){ .cn = "x", .issuer = &authority, LEAF_USAGE, .names = names });
    server = serve(&plain, &with);
    verdict = ask(&ssl, server, &question, NULL, error);
    SSL_free(ssl);
    SSL_CTX_free(server);
    free_made(&with);
    free(names);
    return verdict;
}

static void takes_a_thousand_names_and_not_ten(void **state)
{
    struct error error;
    (void)state;

    assert_int_equal(ask_with_names(1000, &error), ORIGIN_GOOD);
    assert_int_equal(ask_with_names(10000, &error), ORIGIN_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_refuses_protocols),
        cmocka_unit_test(resumes_good_sessions),
        cmocka_unit_test(a_session_is_verified_in_full_each_day),
        cmocka_unit_test(a_session_is_verified_again_in_name_and_date),
        cmocka_unit_test(other_roots_mean_other_sessions),
        cmocka_unit_test(tells_who_wants_a_certificate),
        cmocka_unit_test(hears_of_another_handshake),
        cmocka_unit_test(offers_the_protocols_it_is_told),
        cmocka_unit_test(staples_decide),
        cmocka_unit_test(offers_no_more_than_the_browser),
        cmocka_unit_test(an_old_browser_gets_no_better_origin),
        cmocka_unit_test(judges_the_classes_of_the_kit),
        cmocka_unit_test(takes_a_thousand_names_and_not_ten),
        cmocka_unit_test(sessions_end_at_their_limit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
