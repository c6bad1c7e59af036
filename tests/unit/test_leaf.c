/* Leaves: their names, minted once, kept and forgotten; and browsers that take them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "certificates.h"
#include "trust/browser.h"
#include "trust/leaf.h"
#include "trust/signer.h"
#include "trust/verify.h"

enum { PACKETS = LEAF_PENDING + 100 };

static time_t now;
static struct authority *authority;
static struct signer signer;
static struct sign_limit limit;
static struct buffer chain_pem = { .limit_bytes = 1 << 20 };
static struct leaf_cache *cache;

/* The signer at the other end of a queue. */
static struct {
    struct buffer packets[PACKETS];
    size_t count;
    bool is_gone;
} queue;

static bool send_packet(void *owner, struct span packet)
{
    (void)owner;
    if (queue.is_gone)
        return false;
    queue.packets[queue.count].limit_bytes = SIGN_REQUEST_BYTES;
    assert_true(buffer_append(&queue.packets[queue.count++], packet));
    return true;
}

static const struct leaf_signer by_queue = { .send = send_packet };

static void answer(size_t index)
{
    char reply[SIGN_ANSWER_BYTES];
    enum sign_outcome why;
    struct error error;
    size_t size;

    assert_int_equal(signer_answer(&signer, &limit, buffer_span(&queue.packets[index]), now, 0,
                                   reply, &size, &why, &error),
                     ERROR_NONE);
    assert_int_equal(leaf_cache_answer(cache, span_of(reply, size), &error), ERROR_NONE);
}

static void forget_packets(void)
{
    for (size_t i = 0; i < queue.count; i++)
        buffer_release(&queue.packets[i]);
    queue.count = 0;
}

static int set_up(void **state)
{
    struct authority_plan plan = { .label = SPAN("test") };
    struct constraints *constraints = NULL;
    struct error error;
    (void)state;

    plan.now = now = time(NULL);
    constraints_read(&constraints, SPAN("bank.example\n"), NULL);
    plan.constraints = constraints;
    if (authority_make(&authority, &plan, &error))
        fail_msg("%s", error.text);
    constraints_free(&constraints);
    authority_chain_pem(authority, &chain_pem);
    signer.authority = authority;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&chain_pem);
    authority_free(&authority);
    return 0;
}

static void begin(void)
{
    struct error error;

    sign_limit_init(&limit, 0, 0, 0);
    queue.is_gone = false;
    if (leaf_cache_new(&cache, &by_queue, buffer_span(&chain_pem), &error))
        fail_msg("%s", error.text);
}

static void end(void)
{
    leaf_cache_free(&cache);
    forget_packets();
}

/* ---- names ---- */

#define TEN(n)                                                                                     \
    "DNS:h" n "0.e.example,DNS:h" n "1.e.example,DNS:h" n "2.e.example,DNS:h" n                    \
    "3.e.example,DNS:h" n "4.e.example,DNS:h" n "5.e.example,DNS:h" n "6.e.example,DNS:h" n        \
    "7.e.example,DNS:h" n "8.e.example,DNS:h" n "9.e.example"
#define HUNDRED                                                                                    \
    TEN("0")                                                                                       \
    "," TEN("1") "," TEN("2") "," TEN("3") "," TEN("4") "," TEN("5") "," TEN("6") "," TEN(         \
        "7") "," TEN("8") "," TEN("9")

static void collects_names(void **state)
{
    static const struct {
        const char *name, *host;
        const char *origin; // its names; NULL: no certificate
        const char *want;   // joined by blanks; NULL: an error
        enum error_kind kind;
    } rows[] = {
        { "asked alone", "A.Example", NULL, "a.example", 0 },
        { "address", "[::1]", NULL, "@16", 0 },
        { "covered", "a.example", "DNS:b.example,DNS:a.example", "b.example a.example", 0 },
        { "covered by a wildcard", "w.a.example", "DNS:*.a.example", "*.a.example", 0 },
        { "not covered", "c.example", "DNS:a.example,DNS:b.example",
          "a.example b.example c.example", 0 },
        { "addresses too", "a.example", "DNS:a.example,IP:127.0.0.1,IP:::1", "a.example @4 @16",
          0 },
        { "address covered", "127.0.0.1", "IP:127.0.0.1", "@4", 0 },
        { "address as a name", "127.0.0.1", "DNS:127.0.0.1", "127.0.0.1 @4", 0 },
        { "twice, and in upper case", "a.example", "DNS:A.example,DNS:a.EXAMPLE", "a.example", 0 },
        { "other kinds", "a.example", "email:x@a.example,URI:https://a.example/,DNS:a.example",
          "a.example", 0 },
        { "odd ones left out", "a.example",
          "DNS:*,DNS:*.example,DNS:*.co.uk,DNS:a*.b.example,"
          "DNS:a b.example,DNS:.a.example,DNS:a..b",
          "a.example", 0 },
        { "excluded ones left out", "a.example",
          "DNS:www.bank.example,DNS:*.example.org,"
          "DNS:bank.example",
          "*.example.org a.example", 0 },
        { "excluded", "www.bank.example", NULL, NULL, ERROR_FORBIDDEN },
        { "no host", "a b", NULL, NULL, ERROR_SYNTAX },
        { "international",
          "b\xc3\xbc"
          "cher.example",
          NULL, "xn--bcher-kva.example", 0 },
    };
    struct constraints *constraints = NULL;
    (void)state;

    constraints_read(&constraints, SPAN("bank.example\n"), NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made origin = { 0 };
        struct leaf_names names;
        struct error error = { 0 };
        char text[1000] = "";
        size_t size = 0;
        enum error_kind kind;

        if (rows[i].origin)
            origin =
                make_certificate(&(struct recipe){ .cn = "cn.example", .names = rows[i].origin });
        kind = leaf_names_collect(&names, constraints, span_text(rows[i].host), origin.certificate,
                                  &error);
        for (size_t k = 0; !kind && k < names.count; k++)
            size += (size_t)(names.names[k].kind == HOSTNAME_NAME
                                 ? snprintf(text + size, sizeof text - size, "%s%.*s", k ? " " : "",
                                            SPAN_PRINT(names.names[k].bytes))
                                 : snprintf(text + size, sizeof text - size, "%s@%zu", k ? " " : "",
                                            names.names[k].bytes.size));
        if (kind != rows[i].kind || (!kind && strcmp(text, rows[i].want) != 0))
            fail_msg("%s: \"%s\" %s", rows[i].name, text, error.text);
        free_made(&origin);
    }
    constraints_free(&constraints);
}

static void raw_names_are_left_out(void **state)
{
    // dNSNames with a NUL, a newline, UTF-8, a good one, and one of 300 bytes.
    static const char head[] =
        "2.5.29.17=DER:30:82:01:46:82:03:61:00:62:82:03:61:0A:62:82:04:C3:BC:"
        "2E:61:82:04:6F:2E:6F:6B:82:82:01:2C";
    char text[sizeof head + 3 * 300 + 1];
    struct leaf_names names;
    struct made origin;
    size_t size = sizeof head - 1;
    (void)state;

    memcpy(text, head, sizeof head);
    for (int i = 0; i < 300; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, ":61");
    origin = make_certificate(&(struct recipe){ .cn = "x", .other = text });
    assert_int_equal(leaf_names_collect(&names, NULL, SPAN("a.example"), origin.certificate, NULL),
                     ERROR_NONE);
    assert_int_equal(names.count, 2);
    assert_true(span_equal(names.names[0].bytes, SPAN("o.ok")));
    free_made(&origin);
}

static void names_end_at_their_limit(void **state)
{
    struct made hundred = make_certificate(&(struct recipe){ .cn = "x", .names = HUNDRED });
    struct made more =
        make_certificate(&(struct recipe){ .cn = "x", .names = HUNDRED ",DNS:late.e.example" });
    static struct leaf_names names;
    char *text = malloc(60 * 260);
    size_t size = 0;
    struct made long_ones;
    (void)state;

    assert_int_equal(
        leaf_names_collect(&names, NULL, SPAN("h00.e.example"), hundred.certificate, NULL),
        ERROR_NONE);
    assert_int_equal(names.count, SIGN_NAMES);
    // What was asked for is always there.
    assert_int_equal(
        leaf_names_collect(&names, NULL, SPAN("late.e.example"), more.certificate, NULL),
        ERROR_NONE);
    assert_int_equal(names.count, 1);
    assert_true(span_equal(names.names[0].bytes, SPAN("late.e.example")));
    for (int i = 0; i < 60; i++)
        size += (size_t)snprintf(text + size, 260, "%sDNS:h%02d.%0*d.%0*d.%0*d.example",
                                 i ? "," : "", i, 60, 0, 60, 0, 60, 0);
    long_ones = make_certificate(&(struct recipe){ .cn = "x", .names = text });
    assert_int_equal(
        leaf_names_collect(&names, NULL, SPAN("a.example"), long_ones.certificate, NULL),
        ERROR_NONE);
    assert_true(names.count > 30 && names.count < 60);
    assert_true(span_equal(names.names[names.count - 1].bytes, SPAN("a.example")));
    free(text);
    free_made(&hundred);
    free_made(&more);
    free_made(&long_ones);
}

/* ---- the cache ---- */

struct waiter {
    struct leaf_wait wait;
    struct leaf *leaf;
    enum error_kind kind;
    unsigned calls;
    struct leaf_names names;
    struct waiter *cancels, *asks; // when told
};

static void ask(struct waiter *waiter, const char *host);

static void on_leaf(void *owner, struct leaf *leaf, const struct error *error)
{
    struct waiter *waiter = owner;

    waiter->calls++;
    waiter->kind = error ? error->kind : ERROR_NONE;
    if (leaf)
        waiter->leaf = leaf_ref(leaf);
    if (waiter->cancels)
        leaf_cancel(&waiter->cancels->wait);
    if (waiter->asks)
        ask(waiter->asks, "asked-meanwhile.example");
}

static void ask(struct waiter *waiter, const char *host)
{
    struct leaf *leaf = NULL;
    struct error error = { 0 };

    waiter->wait = (struct leaf_wait){ .on_leaf = on_leaf, .owner = waiter };
    assert_int_equal(leaf_names_collect(&waiter->names, leaf_cache_constraints(cache),
                                        span_text(host), NULL, NULL),
                     ERROR_NONE);
    waiter->kind = leaf_get(cache, &waiter->wait, &waiter->names, now, &leaf, &error);
    if (leaf)
        waiter->leaf = leaf_ref(leaf);
}

static void is_minted_once_for_many(void **state)
{
    static struct waiter waiters[50];
    struct leaf *common;
    (void)state;

    begin();
    memset(waiters, 0, sizeof waiters);
    for (int i = 0; i < 50; i++)
        ask(&waiters[i], "a.example");
    assert_int_equal(queue.count, 1);
    assert_int_equal(leaf_cache_counts(cache).pending, 1);
    waiters[10].cancels = &waiters[9];
    waiters[11].cancels = &waiters[40];
    leaf_cancel(&waiters[20].wait);
    leaf_cancel(&waiters[49].wait);
    leaf_cancel(&waiters[0].wait);
    answer(0);
    common = waiters[1].leaf;
    assert_non_null(common);
    for (int i = 0; i < 50; i++) {
        bool cancelled = i == 20 || i == 49 || i == 0;

        if (i == 9 || i == 40) // told before they were cancelled, or not at all
            assert_true(waiters[i].calls <= 1);
        else
            assert_int_equal(waiters[i].calls, !cancelled);
        assert_true(!waiters[i].leaf || waiters[i].leaf == common);
        leaf_unref(&waiters[i].leaf);
    }
    memset(waiters, 0, sizeof waiters);
    ask(&waiters[0], "a.example"); // at once now
    assert_non_null(waiters[0].leaf);
    assert_int_equal(queue.count, 1);
    assert_int_equal(leaf_cache_counts(cache).hits, 1);
    assert_int_equal(leaf_cache_counts(cache).minted, 1);
    assert_int_equal(leaf_cache_counts(cache).joined, 49);
    leaf_unref(&waiters[0].leaf);
    end();
}

static void answers_may_come_in_any_order(void **state)
{
    static struct waiter waiters[3];
    (void)state;

    begin();
    memset(waiters, 0, sizeof waiters);
    ask(&waiters[0], "a.example");
    ask(&waiters[1], "b.example");
    waiters[1].asks = &waiters[2];
    answer(1);
    assert_int_equal(waiters[1].calls, 1);
    assert_int_equal(waiters[0].calls, 0);
    answer(0);
    answer(2);
    assert_int_equal(waiters[2].calls, 1);
    answer(0); // nobody asked for that any more
    for (int i = 0; i < 3; i++)
        leaf_unref(&waiters[i].leaf);
    end();
}

static void tells_why_there_is_none(void **state)
{
    static struct waiter waiters[3];
    struct error error;
    char reply[SIGN_ANSWER_BYTES];
    size_t size;
    (void)state;

    begin();
    memset(waiters, 0, sizeof waiters);
    queue.is_gone = true;
    ask(&waiters[0], "a.example");
    assert_int_equal(waiters[0].kind, ERROR_LOST);
    queue.is_gone = false;
    ask(&waiters[0], "a.example");
    ask(&waiters[1], "b.example");
    leaf_cache_lost(cache);
    assert_int_equal(waiters[0].kind, ERROR_LOST);
    assert_int_equal(waiters[1].kind, ERROR_LOST);
    assert_int_equal(leaf_cache_counts(cache).pending, 0);
    forget_packets();

    sign_limit_init(&limit, 1, 1, 0);
    ask(&waiters[0], "a.example");
    ask(&waiters[1], "b.example");
    answer(0);
    answer(1);
    assert_int_equal(waiters[0].kind, ERROR_NONE);
    assert_int_equal(waiters[1].kind, ERROR_LIMIT);
    leaf_unref(&waiters[0].leaf);

    // A certificate that is none, and one for another key.
    ask(&waiters[2], "c.example");
    size = sign_encode_answer(reply, &(struct sign_answer){ 6, SIGN_DONE, SPAN("junk") });
    assert_int_equal(leaf_cache_answer(cache, span_of(reply, size), &error), ERROR_NONE);
    assert_int_equal(waiters[2].kind, ERROR_CORRUPT);
    assert_int_equal(leaf_cache_answer(cache, span_of(reply, size - 1), &error), ERROR_SYNTAX);
    end();
}

static void anothers_leaf_is_not_taken(void **state)
{
    static struct waiter waiter;
    struct made other = make_certificate(&(struct recipe){ .cn = "x", .names = "DNS:a.example" });
    unsigned char *der = NULL;
    int size = i2d_X509(other.certificate, &der);
    char reply[SIGN_ANSWER_BYTES];
    size_t reply_size;
    (void)state;

    begin();
    memset(&waiter, 0, sizeof waiter);
    ask(&waiter, "a.example");
    reply_size = sign_encode_answer(
        reply, &(struct sign_answer){ 1, SIGN_DONE, span_of((char *)der, (size_t)size) });
    assert_int_equal(leaf_cache_answer(cache, span_of(reply, reply_size), NULL), ERROR_NONE);
    assert_int_equal(waiter.kind, ERROR_CORRUPT);
    OPENSSL_free(der);
    free_made(&other);
    end();
}

static void leaves_are_renewed_in_time(void **state)
{
    static struct waiter waiter;
    time_t started = now;
    (void)state;

    begin();
    memset(&waiter, 0, sizeof waiter);
    ask(&waiter, "a.example");
    answer(0);
    leaf_unref(&waiter.leaf);
    now = started + 5 * 86400 - 2;
    ask(&waiter, "a.example");
    assert_non_null(waiter.leaf);
    leaf_unref(&waiter.leaf);
    now = started + 5 * 86400;
    ask(&waiter, "a.example");
    assert_null(waiter.leaf);
    answer(1);
    assert_non_null(waiter.leaf);
    leaf_unref(&waiter.leaf);
    now = started - 2 * 86400; // the clock was wrong before: the leaf is from the future
    ask(&waiter, "a.example");
    assert_null(waiter.leaf);
    leaf_cancel(&waiter.wait);
    now = started;
    end();
}

static void the_cache_ends_at_its_limits(void **state)
{
    static struct waiter waiters[LEAF_PENDING + 1], one;
    char host[40];
    (void)state;

    begin();
    for (int round = 0; round < 3; round++) {
        memset(waiters, 0, sizeof waiters);
        for (int i = 0; i <= LEAF_PENDING; i++) {
            snprintf(host, sizeof host, "h%d-%d.example", round, i);
            ask(&waiters[i], host);
        }
        assert_int_equal(waiters[LEAF_PENDING - 1].kind, ERROR_NONE);
        assert_int_equal(waiters[LEAF_PENDING].kind, ERROR_LIMIT);
        assert_int_equal(leaf_cache_counts(cache).pending, LEAF_PENDING);
        for (size_t i = 0; i < LEAF_PENDING; i++) {
            answer(i);
            leaf_unref(&waiters[i].leaf);
        }
        forget_packets();
    }
    assert_int_equal(leaf_cache_counts(cache).kept, LEAF_CACHE);
    memset(&one, 0, sizeof one);
    ask(&one, "h1-0.example"); // the oldest that is left
    assert_non_null(one.leaf);
    leaf_unref(&one.leaf);
    ask(&one, "h0-999.example");
    assert_null(one.leaf);
    answer(0);
    leaf_unref(&one.leaf);
    ask(&one, "h1-0.example"); // was used: another went
    assert_non_null(one.leaf);
    leaf_unref(&one.leaf);
    ask(&one, "h1-1.example");
    assert_null(one.leaf);
    leaf_cancel(&one.wait);
    end();
}

static void another_authority_forgets_all(void **state)
{
    struct authority_plan plan = { .label = SPAN("next"), .now = now };
    struct authority *next = NULL;
    struct buffer pem = { .limit_bytes = 1 << 20 };
    static struct waiter waiters[2];
    (void)state;

    begin();
    memset(waiters, 0, sizeof waiters);
    ask(&waiters[0], "a.example");
    answer(0);
    leaf_unref(&waiters[0].leaf);
    ask(&waiters[1], "b.example");
    assert_int_equal(authority_make(&next, &plan, NULL), ERROR_NONE);
    authority_chain_pem(next, &pem);
    assert_int_equal(leaf_cache_set_chain(cache, buffer_span(&pem), NULL), ERROR_NONE);
    assert_int_equal(waiters[1].kind, ERROR_LOST);
    assert_int_equal(leaf_cache_counts(cache).kept, 0);
    // The old signer's answer is not the new one's.
    ask(&waiters[0], "a.example");
    answer(2);
    assert_int_equal(waiters[0].kind, ERROR_CORRUPT);
    signer.authority = next;
    ask(&waiters[0], "a.example");
    answer(3);
    assert_int_equal(waiters[0].kind, ERROR_NONE);
    leaf_unref(&waiters[0].leaf);
    signer.authority = authority;
    assert_int_equal(leaf_cache_set_chain(cache, SPAN("none"), NULL), ERROR_CONFIG);
    authority_free(&next);
    buffer_release(&pem);
    end();
}

/* ---- browsers ---- */

static struct leaf *mint(const char *host)
{
    static struct waiter waiter;

    memset(&waiter, 0, sizeof waiter);
    ask(&waiter, host);
    if (!waiter.leaf)
        answer(queue.count - 1);
    return waiter.leaf;
}

static SSL_CTX *new_browser(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    struct buffer pem = { .limit_bytes = 1 << 20 };
    X509 *root;
    BIO *bio;

    authority_root_pem(authority, &pem);
    bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    root = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_free(root);
    BIO_free(bio);
    buffer_release(&pem);
    return context;
}

struct visit {
    const char *host;
    int version;
    struct span protocol, offers;
    const char *ciphers;
};

/* Returns the browser's session after a handshake, or NULL when it failed. */
static SSL_SESSION *visit(SSL_CTX *browser, struct browser_tls *tls, const struct visit *how,
                          SSL_SESSION *session, bool *resumed, char protocol[20])
{
    struct leaf *leaf = mint(how->host);
    SSL *ssl = SSL_new(browser);
    SSL *ours =
        browser_begin(tls, leaf, leaf_cache_key(cache), how->protocol, span_text(how->host));
    SSL_SESSION *made = NULL;
    const unsigned char *chosen;
    unsigned size;
    char byte;

    leaf_unref(&leaf);
    SSL_set_connect_state(ssl);
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, how->version);
    SSL_set_tlsext_host_name(ssl, how->host);
    X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), how->host, 0);
    if (how->ciphers)
        SSL_set_cipher_list(ssl, how->ciphers);
    if (how->offers.size)
        SSL_set_alpn_protos(ssl, (const unsigned char *)how->offers.at, (unsigned)how->offers.size);
    if (session)
        SSL_set_session(ssl, session);
    if (shake_hands(ssl, ours)) {
        SSL_read(ssl, &byte, 1);
        made = SSL_get1_session(ssl);
        *resumed = SSL_session_reused(ssl);
        SSL_get0_alpn_selected(ssl, &chosen, &size);
        snprintf(protocol, 20, "%.*s", (int)size, size ? (const char *)chosen : "");
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN);
    }
    SSL_free(ssl);
    SSL_free(ours);
    return made;
}

static void browsers_take_them(void **state)
{
    static const struct {
        const char *name;
        struct visit how;
        bool want;
        const char *protocol;
    } rows[] = {
        { "TLS 1.3", { "a.example", TLS1_3_VERSION, { NULL, 0 }, { NULL, 0 }, NULL }, true, "" },
        { "TLS 1.2", { "a.example", TLS1_2_VERSION, { NULL, 0 }, { NULL, 0 }, NULL }, true, "" },
        { "TLS 1.1",
          { "a.example", TLS1_1_VERSION, { NULL, 0 }, { NULL, 0 }, "ALL:@SECLEVEL=0" },
          false,
          "" },
        { "CBC only",
          { "a.example", TLS1_2_VERSION, { NULL, 0 }, { NULL, 0 }, "ECDHE-ECDSA-AES128-SHA" },
          false,
          "" },
        { "h2 where the origin has it",
          { "a.example", 0, { "h2", 2 }, { "\2h2\10http/1.1", 12 }, NULL },
          true,
          "h2" },
        { "http/1.1 where it has not",
          { "a.example", 0, { "http/1.1", 8 }, { "\2h2\10http/1.1", 12 }, NULL },
          true,
          "http/1.1" },
        { "no protocol chosen",
          { "a.example", 0, { NULL, 0 }, { "\2h2\10http/1.1", 12 }, NULL },
          true,
          "" },
        { "not offered", { "a.example", 0, { "h2", 2 }, { "\10http/1.1", 9 }, NULL }, true, "" },
    };
    SSL_CTX *browser = new_browser();
    struct browser_tls *tls = NULL;
    (void)state;

    begin();
    assert_int_equal(browser_tls_new(&tls, NULL), ERROR_NONE);
    browser_tls_set_chain(tls, leaf_cache_chain(cache));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char protocol[20] = "";
        bool resumed = false;
        SSL_SESSION *session = visit(browser, tls, &rows[i].how, NULL, &resumed, protocol);

        if ((session != NULL) != rows[i].want || strcmp(protocol, rows[i].protocol) != 0)
            fail_msg("%s: \"%s\"", rows[i].name, protocol);
        SSL_SESSION_free(session);
    }
    browser_tls_free(&tls);
    SSL_CTX_free(browser);
    end();
}

static void tickets_are_good_in_all_workers(void **state)
{
    SSL_CTX *browser = new_browser();
    struct browser_tls *first = NULL, *second = NULL;
    struct browser_ticket_key keys[2];
    (void)state;

    begin();
    RAND_bytes((unsigned char *)keys, sizeof keys);
    browser_tls_new(&first, NULL);
    browser_tls_new(&second, NULL);
    browser_tls_set_chain(first, leaf_cache_chain(cache));
    browser_tls_set_chain(second, leaf_cache_chain(cache));
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct visit how = { .host = "a.example", .version = version };
        struct visit other = { .host = "b.example", .version = version };
        SSL_SESSION *session, *next;
        bool resumed;
        char protocol[20];

        browser_tls_set_ticket_keys(first, keys, 1);
        browser_tls_set_ticket_keys(second, keys, 1);
        session = visit(browser, first, &how, NULL, &resumed, protocol);
        assert_false(resumed);
        next = visit(browser, second, &how, session, &resumed, protocol);
        assert_true(resumed);
        SSL_SESSION_free(next);
        // Not for another host.
        next = visit(browser, second, &other, session, &resumed, protocol);
        assert_true(next && !resumed);
        SSL_SESSION_free(next);
        // After a rotation the old key is still known, after the next it is not.
        browser_tls_set_ticket_keys(second, (struct browser_ticket_key[]){ keys[1], keys[0] }, 2);
        next = visit(browser, second, &how, session, &resumed, protocol);
        assert_true(resumed);
        SSL_SESSION_free(next);
        browser_tls_set_ticket_keys(second, &keys[1], 1);
        next = visit(browser, second, &how, session, &resumed, protocol);
        assert_true(next && !resumed);
        SSL_SESSION_free(next);
        // Without keys there are no tickets.
        browser_tls_set_ticket_keys(second, NULL, 0);
        next = visit(browser, second, &how, session, &resumed, protocol);
        assert_true(next && !resumed && !SSL_SESSION_has_ticket(next));
        SSL_SESSION_free(next);
        SSL_SESSION_free(session);
    }
    browser_tls_free(&first);
    browser_tls_free(&second);
    SSL_CTX_free(browser);
    end();
}

static void knows_who_can_take_them(void **state)
{
    static const struct {
        const char *name;
        uint16_t version;
        struct span ciphers, groups, signatures;
        bool want;
    } cases[] = {
        { "new", 0x0304, SPAN("\x13\x01"), SPAN("\0\x1d"), SPAN("\4\3"), true },
        { "new, others before", 0x0304, SPAN("\x0a\x0a\x13\x03"), SPAN("\x11\xec\0\x17"),
          SPAN("\x08\x04\4\3"), true },
        { "old", 0x0303, SPAN("\xc0\x2f\xc0\x2b"), SPAN("\0\x17"), SPAN("\4\3"), true },
        { "old, groups unsaid", 0x0303, SPAN("\xc0\x2b"), SPAN(""), SPAN("\4\3"), true },
        { "old, with a suite of the new", 0x0303, SPAN("\x13\x01"), SPAN("\0\x17"), SPAN("\4\3"),
          false },
        { "RSA alone", 0x0303, SPAN("\xc0\x2f"), SPAN("\0\x17"), SPAN("\4\3"), false },
        { "RSA signatures alone", 0x0304, SPAN("\x13\x01"), SPAN("\0\x1d"), SPAN("\x08\x04"),
          false },
        { "signatures unsaid", 0x0303, SPAN("\xc0\x2b"), SPAN("\0\x17"), SPAN(""), false },
        { "another curve alone", 0x0304, SPAN("\x13\x01"), SPAN("\0\x19"), SPAN("\4\3"), false },
        { "before TLS 1.2", 0x0302, SPAN("\xc0\x2b"), SPAN("\0\x17"), SPAN("\4\3"), false },
        { "half a number", 0x0304, SPAN("\x13"), SPAN("\0\x1d"), SPAN("\4\3"), false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hello hello = { .version = cases[i].version,
                               .ciphers = cases[i].ciphers,
                               .groups = cases[i].groups,
                               .signatures = cases[i].signatures };

        if (browser_suits(&hello) != cases[i].want)
            fail_msg("%s", cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collects_names),
        cmocka_unit_test(raw_names_are_left_out),
        cmocka_unit_test(names_end_at_their_limit),
        cmocka_unit_test(is_minted_once_for_many),
        cmocka_unit_test(answers_may_come_in_any_order),
        cmocka_unit_test(tells_why_there_is_none),
        cmocka_unit_test(anothers_leaf_is_not_taken),
        cmocka_unit_test(leaves_are_renewed_in_time),
        cmocka_unit_test(the_cache_ends_at_its_limits),
        cmocka_unit_test(another_authority_forgets_all),
        cmocka_unit_test(browsers_take_them),
        cmocka_unit_test(knows_who_can_take_them),
        cmocka_unit_test(tickets_are_good_in_all_workers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
