/* Content-Security-Policy, by rows: just so much is added that what we put in works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/page_policy.h"

static const struct page_policy needs = { .style = { "'sha256-S'", 10 },
                                          .script = { "'sha256-X'", 10 },
                                          .connect = { "http://a/b/", 11 } };

static const struct {
    const char *policy, *want; // NULL: not changed
} cases[] = {
    { "", NULL },
    { "img-src 'self'", NULL },
    { "style-src 'self'", "style-src 'self' 'sha256-S'" },
    { "STYLE-SRC 'self'", "STYLE-SRC 'self' 'sha256-S'" },
    { "style-src 'none'", "style-src 'sha256-S'" },
    { "style-src", "style-src 'sha256-S'" },
    { "style-src 'unsafe-inline'", NULL },
    { "style-src 'unsafe-inline' 'nonce-x'", "style-src 'unsafe-inline' 'nonce-x' 'sha256-S'" },
    { "style-src 'unsafe-inline' 'sha256-y'", "style-src 'unsafe-inline' 'sha256-y' 'sha256-S'" },
    { "style-src 'sha256-S'", NULL },
    { "style-src 'self'; style-src-elem b", "style-src 'self'; style-src-elem b 'sha256-S'" },
    { "script-src 'self'", "script-src 'self' 'sha256-X'" },
    { "script-src 'strict-dynamic' 'nonce-x'", "script-src 'strict-dynamic' 'nonce-x' 'sha256-X'" },
    { "script-src 'unsafe-inline' https:", NULL },
    { "script-src-elem a; script-src b", "script-src-elem a 'sha256-X'; script-src b" },
    { "default-src 'self'", "default-src 'self' 'sha256-S' 'sha256-X'" },
    { "default-src 'none'", "default-src 'sha256-S' 'sha256-X'; connect-src http://a/b/" },
    { "default-src https: 'unsafe-inline'",
      "default-src https: 'unsafe-inline'; connect-src https: 'unsafe-inline' http://a/b/" },
    { "default-src 'none'; style-src a; script-src b; connect-src 'none'",
      "default-src 'none'; style-src a 'sha256-S'; script-src b 'sha256-X'; "
      "connect-src http://a/b/" },
    { "connect-src 'self'", NULL },
    { "connect-src *", NULL },
    { "connect-src https://x", "connect-src https://x http://a/b/" },
    { "style-src a, script-src b", "style-src a 'sha256-S', script-src b 'sha256-X'" },
    { "img-src a, style-src b", "img-src a, style-src b 'sha256-S'" },
    { " style-src  a ;; img-src b ; ", "style-src a 'sha256-S'; img-src b" },
    { "style-src a; style-src b", "style-src a 'sha256-S'; style-src b" },
};

static void just_so_much_is_added(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer got = { .limit_bytes = 10000 };
        struct span policy = span_text(cases[i].policy);
        bool changed = page_policy_change(&got, policy, &needs);

        if (changed != (cases[i].want != NULL) ||
            (changed && !span_equal(buffer_span(&got), span_text(cases[i].want))))
            fail_msg("%s: %d %.*s", cases[i].policy, changed, SPAN_PRINT(buffer_span(&got)));
        if (!changed && got.size)
            fail_msg("%s: something was written", cases[i].policy);
        buffer_release(&got);
    }
}

static void what_is_not_needed_is_not_added(void **state)
{
    struct page_policy only_style = { .style = needs.style };
    struct buffer got = { .limit_bytes = 1000 };

    (void)state;
    assert_true(page_policy_change(&got, SPAN("default-src 'none'"), &only_style));
    assert_true(span_equal(buffer_span(&got), SPAN("default-src 'sha256-S'")));
    got.size = 0;
    assert_false(page_policy_change(&got, SPAN("script-src 'none'; connect-src a"), &only_style));
    buffer_release(&got);
}

static void hashes_are_those_of_the_standard(void **state)
{
    char text[PAGE_HASH_BYTES];

    (void)state;
    assert_string_equal(page_policy_hash(text, SPAN("")).at,
                        "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    assert_string_equal(page_policy_hash(text, SPAN("alert('Hello, world.');")).at,
                        "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='");
}

static void sandboxes_are_seen(void **state)
{
    (void)state;
    assert_true(page_policy_runs_scripts(SPAN("default-src 'none'")));
    assert_false(page_policy_runs_scripts(SPAN("sandbox")));
    assert_false(page_policy_runs_scripts(SPAN("img-src a; sandbox allow-forms")));
    assert_true(page_policy_runs_scripts(SPAN("sandbox allow-forms allow-scripts")));
    assert_false(page_policy_runs_scripts(SPAN("img-src a, sandbox")));
}

static void fields_are_changed_in_place(void **state)
{
    struct arena arena;
    struct message response;

    (void)state;
    arena_init(&arena, 1 << 20);
    message_init(&response, &arena, false);
    assert_true(message_add(&response, SPAN("Content-Security-Policy"), SPAN("style-src 'none'")));
    assert_true(message_add(&response, SPAN("content-security-policy-report-only"),
                            SPAN("style-src a; report-uri /r")));
    assert_true(message_add(&response, SPAN("X-Other"), SPAN("style-src 'none'")));
    page_policy_amend(&response, &needs);
    assert_true(span_equal(response.fields[0].value, SPAN("style-src 'sha256-S'")));
    assert_true(
        span_equal(response.fields[1].value, SPAN("style-src a 'sha256-S'; report-uri /r")));
    assert_true(span_equal(response.fields[2].value, SPAN("style-src 'none'")));
    page_policy_amend(&response, &needs);
    assert_true(span_equal(response.fields[0].value, SPAN("style-src 'sha256-S'")));
    arena_done(&arena);
}

/* As many directives as are read, and one more: the policy is let alone. */
static void long_policies_are_let_alone(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct buffer policy = { .limit_bytes = 1 << 16 }, got = { .limit_bytes = 1 << 16 };

        (void)buffer_append(&policy, SPAN("style-src a"));
        for (int i = 0; i < 63 + more; i++)
            (void)buffer_append(&policy, SPAN("; x y"));
        assert_int_equal(page_policy_change(&got, buffer_span(&policy), &needs), !more);
        buffer_release(&policy);
        buffer_release(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(just_so_much_is_added),
        cmocka_unit_test(what_is_not_needed_is_not_added),
        cmocka_unit_test(hashes_are_those_of_the_standard),
        cmocka_unit_test(sandboxes_are_seen),
        cmocka_unit_test(fields_are_changed_in_place),
        cmocka_unit_test(long_policies_are_let_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
