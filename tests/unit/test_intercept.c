/* One CONNECT that may be opened: what its first bytes make of it, its limits of time, a signer
 * that does not answer, and what the browser's handshake teaches. Origins that talk TLS are in
 * tests/e2e/test_intercept.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "clock.h"
#include "intercept_scene.h"

#define RULES "||ads.test^\n"

enum { SOON_MS = 10, MARGIN_MS = 10 }; // libev rounds

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene, RULES, false);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

/* What became of it: "waits", "closed", "passed" or "opened". */
static const char *outcome(void)
{
    bool is_there = scene_hear(&scene);

    if (scene_count(&scene, METRIC_INTERCEPT_PASSED))
        return scene_origin_was_asked(&scene) ? "passed" : "passed, but not to the origin";
    if (scene_origin_was_asked(&scene))
        return "the origin was asked";
    if (scene_count(&scene, METRIC_INTERCEPT_OPENED))
        return "opened";
    return is_there ? "waits" : "closed";
}

static void answered(void)
{
    clock_run(scene.loop, SOON_MS);
    assert_true(scene_hear(&scene));
    if (scene.got.size < 12 || memcmp(scene.got.at, "HTTP/1.1 200", 12) != 0)
        fail_msg("%.*s", SPAN_PRINT(buffer_span(&scene.got)));
    scene.got.size = 0;
}

/* Says the hello, or but for its last byte. */
static void say_hello(const char *name, bool is_whole)
{
    struct buffer hello = scene_hello(&scene, name);

    scene_say(&scene, span_slice(buffer_span(&hello), 0, hello.size - !is_whole));
    buffer_release(&hello);
}

/* ---- limits of time ---- */

enum saying { NOTHING, BYTES, HALF_A_HELLO, A_HELLO };

static void ends_at_its_limit(void **state)
{
    static const struct {
        const char *name, *host;
        enum saying saying;
        struct span bytes;
        enum signer_mood mood;
        unsigned limit_ms;
        const char *want;
    } rows[] = {
        { "says nothing",
          "127.0.0.1",
          NOTHING,
          { NULL, 0 },
          SIGNER_ANSWERS,
          INTERCEPT_SILENCE_MS,
          "passed" },
        { "says nothing to a host that is stopped",
          "ads.test",
          NOTHING,
          { NULL, 0 },
          SIGNER_ANSWERS,
          INTERCEPT_SILENCE_MS,
          "closed" },
        { "the start of a method",
          "127.0.0.1",
          BYTES,
          { "GE", 2 },
          SIGNER_ANSWERS,
          INTERCEPT_HELLO_MS,
          "passed" },
        { "a byte of a record",
          "127.0.0.1",
          BYTES,
          { "\x16", 1 },
          SIGNER_ANSWERS,
          INTERCEPT_HELLO_MS,
          "closed" },
        { "a hello but for its last byte",
          "127.0.0.1",
          HALF_A_HELLO,
          { NULL, 0 },
          SIGNER_ANSWERS,
          INTERCEPT_HELLO_MS,
          "closed" },
        { "the signer is silent",
          "ads.test",
          A_HELLO,
          { NULL, 0 },
          SIGNER_IS_SILENT,
          INTERCEPT_LEAF_MS,
          "closed" },
        { "goes no further than its hello",
          "ads.test",
          A_HELLO,
          { NULL, 0 },
          SIGNER_ANSWERS,
          INTERCEPT_HANDSHAKE_MS,
          "closed" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *before, *after;

        open_scene(NULL);
        scene.mood = rows[i].mood;
        scene_connect(&scene, rows[i].host);
        if (rows[i].saying != NOTHING)
            answered();
        if (rows[i].saying == BYTES)
            scene_say(&scene, rows[i].bytes);
        else if (rows[i].saying != NOTHING)
            say_hello("ads.test", rows[i].saying == A_HELLO);
        clock_run(scene.loop, rows[i].limit_ms - MARGIN_MS);
        before = outcome();
        clock_run(scene.loop, 2 * MARGIN_MS);
        after = outcome();
        if (strcmp(before, "waits") != 0 || strcmp(after, rows[i].want) != 0)
            fail_msg("%s: %s, then %s", rows[i].name, before, after);
        close_scene(NULL);
    }
}

/* Each byte in time, and yet all of them too late. */
static void a_drip_does_not_push_the_limit_ahead(void **state)
{
    enum { PAUSE_MS = 500 };
    struct buffer hello;
    size_t said = 0;

    (void)state;
    scene_connect(&scene, "ads.test");
    answered();
    hello = scene_hello(&scene, "ads.test");
    for (unsigned ms = 0; ms < INTERCEPT_HELLO_MS; ms += PAUSE_MS, said++) {
        assert_string_equal(outcome(), "waits");
        scene_say(&scene, span_slice(buffer_span(&hello), said, 1));
        clock_run(scene.loop, PAUSE_MS);
    }
    clock_run(scene.loop, MARGIN_MS);
    assert_string_equal(outcome(), "closed");
    assert_true(said < hello.size);
    assert_int_equal(scene_count(&scene, METRIC_TIMEOUTS), 1);
    buffer_release(&hello);
}

/* It takes the connection and no more; then its error is told inside. */
static void an_origin_that_does_not_shake_hands_is_given_up(void **state)
{
    (void)state;
    scene_connect(&scene, "good.test");
    answered();
    say_hello("good.test", true);
    clock_run(scene.loop, OUTGOING_HANDSHAKE_MS - MARGIN_MS);
    assert_true(scene_hear(&scene));
    assert_true(scene_origin_was_asked(&scene));
    assert_int_equal(scene.questions, 0);
    assert_int_equal(scene.got.size, 0);
    clock_run(scene.loop, 2 * MARGIN_MS);
    assert_true(scene_hear(&scene));
    assert_int_equal(scene.questions, 1);
    assert_true(scene.got.size > 0); // a leaf
    assert_int_equal(scene.learned, -1);
}

/* ---- the first bytes ---- */

static void first_bytes_decide(void **state)
{
    static const struct {
        const char *name;
        struct span bytes;
        const char *want;
    } rows[] = {
        { "SSH", SPAN("SSH-2.0-x\r\n"), "passed" },
        { "SMTP", SPAN("EHLO a\r\n"), "passed" },
        { "RTSP", SPAN("OPTIONS rtsp://a/ RTSP/1.0\r\n"), "passed" },
        { "an alert", SPAN("\x15\x03\x01"), "passed" },
        { "a record without bytes", { "\x16\x03\x01\0\0", 5 }, "passed" },
        { "a record of something else", { "\x16\x03\x01\0\2\5\0", 7 }, "passed" },
        { "zeros", { "\0\0\0", 3 }, "passed" },
        { "a head of HTTP that has not ended", SPAN("GET / HTTP/1.1\r\n"), "waits" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *is;

        open_scene(NULL);
        scene_connect(&scene, "127.0.0.1");
        answered();
        scene_say(&scene, rows[i].bytes);
        clock_run(scene.loop, SOON_MS);
        is = outcome();
        if (strcmp(is, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].name, is);
        close_scene(NULL);
    }
}

static void names_decide(void **state)
{
    static const struct {
        const char *name, *host, *asked; // CONNECT's, and the hello's
        const char *want;
        size_t questions; // to the signer
    } rows[] = {
        { "a host that is stopped", "ads.test", "ads.test", "waits", 1 },
        { "another name", "good.test", "other.test", "passed", 0 },
        { "another name, which is stopped", "good.test", "ads.test", "closed", 0 },
        { "stopped, another name", "ads.test", "good.test", "closed", 0 },
        { "an address, a name that is stopped", "127.0.0.1", "ads.test", "waits", 1 },
        { "the same name", "good.test", "good.test", "the origin was asked", 0 },
        { "an address, a name", "127.0.0.1", "good.test", "the origin was asked", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *is;

        open_scene(NULL);
        scene_connect(&scene, rows[i].host);
        answered();
        say_hello(rows[i].asked, true);
        clock_run(scene.loop, SOON_MS);
        is = outcome();
        if (strcmp(is, rows[i].want) != 0 || scene.questions != rows[i].questions)
            fail_msg("%s: %s, %zu asked of the signer", rows[i].name, is, scene.questions);
        // Nothing is said before the origin was verified.
        assert_true((scene.got.size > 0) == (rows[i].questions > 0));
        close_scene(NULL);
    }
}

/* ---- without the signer ---- */

/* The origin of good.test cannot be reached, so that a leaf is wanted of the signer. */
static void without_a_leaf_it_is_closed(void **state)
{
    static const struct {
        const char *name, *host;
        enum signer_mood mood;
    } rows[] = {
        { "gone, a host that is stopped", "ads.test", SIGNER_IS_GONE },
        { "gone, an origin that is not reached", "good.test", SIGNER_IS_GONE },
        { "too much asked, a host that is stopped", "ads.test", SIGNER_IS_BUSY },
        { "too much asked, an origin that is not reached", "good.test", SIGNER_IS_BUSY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *is;

        open_scene(NULL);
        scene_close_origin(&scene);
        scene.mood = rows[i].mood;
        scene_connect(&scene, rows[i].host);
        answered();
        say_hello(rows[i].host, true);
        clock_run(scene.loop, SOON_MS);
        is = outcome();
        if (strcmp(is, "closed") != 0 || scene.got.size > 0 ||
            scene_count(&scene, METRIC_INTERCEPT_FAILED) != 1)
            fail_msg("%s: %s", rows[i].name, is);
        close_scene(NULL);
    }
}

static void who_waits_for_a_signer_that_ends_is_told(void **state)
{
    (void)state;
    scene.mood = SIGNER_IS_SILENT;
    scene_connect(&scene, "ads.test");
    answered();
    say_hello("ads.test", true);
    clock_run(scene.loop, SOON_MS);
    assert_string_equal(outcome(), "waits");
    proxy_signer_lost(scene.proxy);
    clock_run(scene.loop, SOON_MS);
    assert_string_equal(outcome(), "closed");
}

/* ---- the browser's handshake ---- */

static int refused_with;

static int refuse_certificate(int is_good, X509_STORE_CTX *context)
{
    static const struct {
        int alert, error;
    } rows[] = {
        // the alert that OpenSSL makes of an error
        { SSL_AD_UNKNOWN_CA, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY },
        { SSL_AD_BAD_CERTIFICATE, X509_V_ERR_CERT_REJECTED },
        { SSL_AD_CERTIFICATE_UNKNOWN, X509_V_ERR_UNSPECIFIED + 10000 },
        { SSL_AD_CERTIFICATE_EXPIRED, X509_V_ERR_CERT_HAS_EXPIRED },
        { SSL_AD_INTERNAL_ERROR, X509_V_ERR_UNSPECIFIED },
    };

    (void)is_good;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].alert == refused_with)
            X509_STORE_CTX_set_error(context, rows[i].error);
    return 0;
}

/* Until it has ended on the browser's side. `alert` >= 0: it does not like the certificate. */
static bool finish_handshake(int alert)
{
    X509_STORE *store = SSL_CTX_get_cert_store(scene.context);
    BIO *root = BIO_new_mem_buf(scene.root.at, (int)scene.root.size);
    X509 *certificate = PEM_read_bio_X509(root, NULL, NULL, NULL);
    int result = -1;

    BIO_free(root);
    X509_STORE_add_cert(store, certificate);
    X509_free(certificate);
    SSL_set_verify(scene.ssl, SSL_VERIFY_PEER, NULL);
    SSL_set1_host(scene.ssl, SSL_get_servername(scene.ssl, TLSEXT_NAMETYPE_host_name));
    if (alert >= 0)
        SSL_set_verify(scene.ssl, SSL_VERIFY_PEER, refuse_certificate);
    refused_with = alert;
    for (int round = 0; round < 10 && result != 1; round++) {
        char *at;
        long size;

        clock_run(scene.loop, SOON_MS);
        scene_hear(&scene);
        BIO_write(SSL_get_rbio(scene.ssl), scene.got.at, (int)scene.got.size);
        scene.got.size = 0;
        result = SSL_do_handshake(scene.ssl);
        size = BIO_get_mem_data(SSL_get_wbio(scene.ssl), &at);
        if (size > 0)
            scene_say(&scene, span_of(at, (size_t)size));
        (void)BIO_reset(SSL_get_wbio(scene.ssl));
        if (result != 1 && SSL_get_error(scene.ssl, result) != SSL_ERROR_WANT_READ)
            break;
    }
    ERR_clear_error();
    clock_run(scene.loop, SOON_MS);
    return result == 1;
}

static void the_certificate_is_for_the_host(void **state)
{
    (void)state;
    scene_connect(&scene, "ads.test");
    answered();
    say_hello("ads.test", true);
    assert_true(finish_handshake(-1));
    assert_string_equal(outcome(), "opened");
    assert_int_equal(scene.learned, -1); // nothing to be wiped
}

/* As it must be told to all workers, of an origin that is not reached: its failure teaches
 * nothing, the browser's does. */
static void endings_teach(void **state)
{
    static const struct {
        const char *name, *host;
        enum { BY_ALERT, BY_CLOSE, IN_ORDER } how;
        int alert;
        int want; // -1: nothing
    } rows[] = {
        { "unknown ca", "good.test", BY_ALERT, SSL_AD_UNKNOWN_CA, LEARNED_REFUSED },
        { "bad certificate", "good.test", BY_ALERT, SSL_AD_BAD_CERTIFICATE, LEARNED_REFUSED },
        { "certificate unknown", "good.test", BY_ALERT, SSL_AD_CERTIFICATE_UNKNOWN,
          LEARNED_REFUSED },
        { "certificate expired", "good.test", BY_ALERT, SSL_AD_CERTIFICATE_EXPIRED, -1 },
        { "internal error", "good.test", BY_ALERT, SSL_AD_INTERNAL_ERROR, -1 },
        { "a bare close", "good.test", BY_CLOSE, 0, LEARNED_CLOSED },
        { "finished", "good.test", IN_ORDER, 0, -1 },
        { "unknown ca, of a host that is stopped", "ads.test", BY_ALERT, SSL_AD_UNKNOWN_CA, -1 },
        { "a bare close, of a host that is stopped", "ads.test", BY_CLOSE, 0, -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_scene(NULL);
        scene_close_origin(&scene);
        scene_connect(&scene, rows[i].host);
        answered();
        say_hello(rows[i].host, true);
        if (rows[i].how == BY_CLOSE) {
            clock_run(scene.loop, SOON_MS);
            assert_true(scene_hear(&scene) && scene.got.size > 0); // our certificate
            scene_leave(&scene);
            clock_run(scene.loop, SOON_MS);
        } else {
            assert_int_equal(finish_handshake(rows[i].how == BY_ALERT ? rows[i].alert : -1),
                             rows[i].how == IN_ORDER);
        }
        if (scene.learned != rows[i].want)
            fail_msg("%s: %d", rows[i].name, scene.learned);
        close_scene(NULL);
    }
}

/* A leaf of the authority before, or of one whose signer is gone: nobody knows what its program
 * would say to one of now. */
static void an_old_leaf_teaches_nothing(void **state)
{
    static const struct {
        const char *name;
        bool is_lost, is_back, is_another;
        int want;
    } rows[] = {
        { "its signer is gone", true, false, false, -1 },
        { "its signer is back", true, true, false, LEARNED_REFUSED },
        { "another authority", false, false, true, -1 },
        { "another signer and authority", true, false, true, -1 },
    };
    const struct authority_plan plan = { .label = SPAN("another"), .now = time(NULL) };
    struct authority *another;
    struct buffer chain = { .limit_bytes = 1 << 20 };

    (void)state;
    assert_int_equal(authority_make(&another, &plan, NULL), ERROR_NONE);
    authority_chain_pem(another, &chain);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_scene(NULL);
        scene_close_origin(&scene);
        scene_connect(&scene, "good.test");
        answered();
        say_hello("good.test", true);
        clock_run(scene.loop, SOON_MS);
        assert_true(scene_hear(&scene) && scene.got.size > 0); // our certificate
        if (rows[i].is_lost)
            proxy_signer_lost(scene.proxy);
        if (rows[i].is_back)
            assert_int_equal(proxy_set_authority(scene.proxy, buffer_span(&scene.chain), NULL),
                             ERROR_NONE);
        if (rows[i].is_another)
            assert_int_equal(proxy_set_authority(scene.proxy, buffer_span(&chain), NULL),
                             ERROR_NONE);
        assert_false(finish_handshake(SSL_AD_UNKNOWN_CA));
        if (scene.learned != rows[i].want)
            fail_msg("%s: %d", rows[i].name, scene.learned);
        close_scene(NULL);
    }
    buffer_release(&chain);
    authority_free(&another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_at_its_limit),
        cmocka_unit_test_setup_teardown(a_drip_does_not_push_the_limit_ahead, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(an_origin_that_does_not_shake_hands_is_given_up, open_scene,
                                        close_scene),
        cmocka_unit_test(first_bytes_decide),
        cmocka_unit_test(names_decide),
        cmocka_unit_test(without_a_leaf_it_is_closed),
        cmocka_unit_test_setup_teardown(who_waits_for_a_signer_that_ends_is_told, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(the_certificate_is_for_the_host, open_scene, close_scene),
        cmocka_unit_test(endings_teach),
        cmocka_unit_test(an_old_leaf_teaches_nothing),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
