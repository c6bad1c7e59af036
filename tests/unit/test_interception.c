/* What a worker has for opening tunnels: nothing is opened before it is whole, and what comes
 * damaged leaves the old in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "clock.h"
#include "intercept_scene.h"

enum { SOON_MS = 10 };

static struct scene scene;

static int open_bare(void **state)
{
    (void)state;
    scene_open(&scene, "||ads.test^\n", true);
    return 0;
}

static int open_whole(void **state)
{
    (void)state;
    scene_open(&scene, "||ads.test^\n", false);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

static bool is_ready(void)
{
    return interception_is_ready(scene.proxy->interception, scene.proxy->settings,
                                 SPAN("good.test"));
}

static enum error_kind trust(const char *roots)
{
    const struct proxy_trust trust = { .roots = span_text(roots) };

    return proxy_set_trust(scene.proxy, &trust, NULL);
}

static enum error_kind trust_own_root(void)
{
    const struct proxy_trust trust = { .roots = buffer_span(&scene.root) };

    return proxy_set_trust(scene.proxy, &trust, NULL);
}

static enum error_kind use_authority(struct span chain)
{
    return proxy_set_authority(scene.proxy, chain, NULL);
}

static void it_takes_roots_and_an_authority(void **state)
{
    (void)state;
    assert_false(is_ready());
    assert_int_equal(use_authority(buffer_span(&scene.chain)), ERROR_NONE);
    assert_false(is_ready());
    assert_int_equal(trust_own_root(), ERROR_NONE);
    assert_true(is_ready());
    assert_int_equal(use_authority(SPAN_NONE), ERROR_NONE);
    assert_false(is_ready());
    assert_int_equal(use_authority(buffer_span(&scene.chain)), ERROR_NONE);
    assert_true(is_ready());
    assert_int_equal(trust(""), ERROR_NONE); // nobody is trusted
    assert_false(is_ready());
}

/* As every CONNECT before the signer has said what it signs with. */
static void until_then_it_is_a_tunnel(void **state)
{
    (void)state;
    scene_connect(&scene, "good.test");
    clock_run(scene.loop, SOON_MS);
    assert_true(scene_origin_was_asked(&scene));
    assert_int_equal(scene_count(&scene, METRIC_INTERCEPT_PASSED), 0); // it never began
    assert_int_equal(scene.questions, 0);
}

static void what_is_damaged_leaves_the_old(void **state)
{
    struct span half = span_slice(buffer_span(&scene.chain), 0, scene.chain.size / 2);

    (void)state;
    assert_int_not_equal(use_authority(half), ERROR_NONE);
    assert_true(is_ready());
    assert_int_not_equal(proxy_set_learned(scene.proxy, SPAN("nonsense\n"), NULL), ERROR_NONE);
    assert_int_equal(proxy_take_signature(scene.proxy, SPAN("nonsense"), NULL), ERROR_SYNTAX);
    assert_true(is_ready());
    scene_connect(&scene, "ads.test");
    clock_run(scene.loop, SOON_MS);
    assert_true(scene_hear(&scene));
    assert_int_equal(scene.questions, 0);
}

/* An answer to what was asked before it went. */
static void an_answer_after_the_end_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(use_authority(SPAN_NONE), ERROR_NONE);
    assert_int_equal(proxy_take_signature(scene.proxy, SPAN("nonsense"), NULL), ERROR_NONE);
    proxy_signer_lost(scene.proxy);
    assert_int_equal(use_authority(SPAN_NONE), ERROR_NONE);
}

static void who_waits_is_told_when_the_authority_goes(void **state)
{
    struct buffer hello;

    (void)state;
    scene.mood = SIGNER_IS_SILENT;
    scene_connect(&scene, "ads.test");
    clock_run(scene.loop, SOON_MS);
    hello = scene_hello(&scene, "ads.test");
    scene_say(&scene, buffer_span(&hello));
    buffer_release(&hello);
    clock_run(scene.loop, SOON_MS);
    assert_int_equal(scene.questions, 1);
    assert_true(scene_hear(&scene));
    assert_int_equal(use_authority(SPAN_NONE), ERROR_NONE);
    clock_run(scene.loop, SOON_MS);
    assert_false(scene_hear(&scene));
}

/* A connection for a request inside is as the first one was. */
static void later_connections_are_like_the_first(void **state)
{
    static const struct {
        const char *name, *protocols;
        bool want_no_protocol;
    } rows[] = {
        { "offers HTTP/1.1", "\x08http/1.1", false },
        { "offers nothing", "", true },
        { "offers HTTP/2 alone", "\x02h2", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello hello = { .version = 0x0303, .protocols = span_text(rows[i].protocols) };
        const struct scope_plan plan = {
            .host = SPAN("good.test"), .to = SPAN("127.0.0.1"), .port = 443, .hello = &hello
        };
        struct scope *scope = scope_new(&plan);
        struct outgoing_tls tls =
            interception_towards(scene.proxy->interception, scene.proxy->settings, scope);

        if (!span_equal(tls.name, SPAN("good.test")) || !tls.roots || tls.like->version != 0x0303 ||
            tls.no_protocol != rows[i].want_no_protocol)
            fail_msg("%s: %.*s", rows[i].name, SPAN_PRINT(tls.name));
        scope_free(&scope);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_takes_roots_and_an_authority, open_bare, close_scene),
        cmocka_unit_test_setup_teardown(until_then_it_is_a_tunnel, open_bare, close_scene),
        cmocka_unit_test_setup_teardown(what_is_damaged_leaves_the_old, open_whole, close_scene),
        cmocka_unit_test_setup_teardown(an_answer_after_the_end_is_passed_over, open_whole,
                                        close_scene),
        cmocka_unit_test_setup_teardown(who_waits_is_told_when_the_authority_goes, open_whole,
                                        close_scene),
        cmocka_unit_test_setup_teardown(later_connections_are_like_the_first, open_whole,
                                        close_scene),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
