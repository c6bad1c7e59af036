/* Passes and pauses in a worker: for whom, for which hosts, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "proxy/passes.h"

#define FOR_GOOD PROXY_PASS_FOR_GOOD

static struct proxy_pass pass(const char *host, const char *client, uint64_t until_ms)
{
    return (struct proxy_pass){ span_text(host), span_text(client), until_ms };
}

static void allow_whom_they_are_for(void **state)
{
    static const struct {
        const char *name, *host, *client;
        uint64_t until_ms;
        const char *asked, *asker;
        uint64_t now_ms;
        bool want;
    } cases[] = {
        { "its host", "a.example", "", 100, "a.example", "10.0.0.1", 50, true },
        { "a host below", "a.example", "", 100, "x.y.a.example", "10.0.0.1", 50, true },
        { "a host above", "a.example", "", 100, "example", "10.0.0.1", 50, false },
        { "only at a label", "a.example", "", 100, "ba.example", "10.0.0.1", 50, false },
        { "capitals when it was given", "A.Example", "", 100, "a.example", "10.0.0.1", 50, true },
        { "one ms before its end", "a.example", "", 100, "a.example", "10.0.0.1", 99, true },
        { "its end", "a.example", "", 100, "a.example", "10.0.0.1", 100, false },
        { "for good", "a.example", "", FOR_GOOD, "a.example", "10.0.0.1", 1u << 31, true },
        { "its client", "a.example", "10.0.0.1", 100, "a.example", "10.0.0.1", 50, true },
        { "another client", "a.example", "10.0.0.1", 100, "a.example", "10.0.0.2", 50, false },
        { "its client, mapped", "a.example", "10.0.0.1", 9, "a.example", "::ffff:10.0.0.1", 5,
          true },
        { "IPv6", "a.example", "fd00::1", 100, "a.example", "fd00:0::1", 50, true },
        { "no address", "a.example", "ann", 100, "a.example", "10.0.0.1", 50, false },
        { "a pause", "", "", 100, "a.example", "10.0.0.1", 50, true },
        { "a pause that is over", "", "", 100, "a.example", "10.0.0.1", 100, false },
        { "a pause of one client", "", "10.0.0.1", 100, "a.example", "10.0.0.1", 50, true },
        { "a pause of another one", "", "10.0.0.2", 100, "a.example", "10.0.0.1", 50, false },
        { "an address as host", "192.0.2.1", "", 100, "192.0.2.1", "10.0.0.1", 50, true },
        { "no host", "a.example", "", 100, "", "10.0.0.1", 50, false },
        { "a host of dots", "a.example", "", 100, "...", "10.0.0.1", 50, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct passes *passes = passes_new();
        struct proxy_pass item = pass(cases[i].host, cases[i].client, cases[i].until_ms);
        struct address asker;
        bool got;

        passes_set(passes, &(struct proxy_passes){ &item, 1 });
        assert_true(address_parse(&asker, span_text(cases[i].asker), 4711));
        got = passes_allow(passes, span_text(cases[i].asked), &asker, cases[i].now_ms);
        if (got != cases[i].want)
            fail_msg("%s: got %d", cases[i].name, got);
        passes_free(&passes);
        assert_null(passes);
    }
}

static void a_new_set_replaces_the_old_one(void **state)
{
    struct passes *passes = passes_new();
    struct proxy_pass first[] = { pass("a.example", "", 100), pass("b.example", "", 100) };
    struct proxy_pass second[] = { pass("a.example", "", 10), pass("a.example", "", 100) };
    struct address client;

    (void)state;
    assert_true(address_parse(&client, SPAN("127.0.0.1"), 0));
    assert_true(passes_are_empty(passes));
    passes_set(passes, &(struct proxy_passes){ first, 2 });
    assert_false(passes_are_empty(passes));
    assert_true(passes_allow(passes, SPAN("b.example"), &client, 50));
    passes_set(passes, &(struct proxy_passes){ second, 2 });
    assert_false(passes_allow(passes, SPAN("b.example"), &client, 50));
    assert_true(passes_allow(passes, SPAN("a.example"), &client, 50)); // the longer one counts
    passes_set(passes, &(struct proxy_passes){ NULL, 0 });
    assert_true(passes_are_empty(passes));
    assert_false(passes_allow(passes, SPAN("a.example"), &client, 50));
    passes_free(&passes);
}

static void no_more_than_the_limit(void **state)
{
    static struct proxy_pass items[PROXY_PASSES + 1];
    static char names[PROXY_PASSES + 1][16];
    struct passes *passes = passes_new();
    struct address client;

    (void)state;
    assert_true(address_parse(&client, SPAN("127.0.0.1"), 0));
    for (size_t i = 0; i <= PROXY_PASSES; i++) {
        snprintf(names[i], sizeof names[i], "h%zu.example", i);
        items[i] = pass(names[i], "", 100);
    }
    passes_set(passes, &(struct proxy_passes){ items, PROXY_PASSES + 1 });
    assert_true(passes_allow(passes, span_text(names[PROXY_PASSES - 1]), &client, 50));
    assert_false(passes_allow(passes, span_text(names[PROXY_PASSES]), &client, 50));
    passes_free(&passes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allow_whom_they_are_for),
        cmocka_unit_test(a_new_set_replaces_the_old_one),
        cmocka_unit_test(no_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
