/* What holds inside of a tunnel is kept apart from what it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/scope.h"

static void a_scope_in_clear_keeps_its_texts(void **state)
{
    char host[] = "a.example", user[] = "alice";
    struct scope_plan plan = {
        .host = span_text(host), .to = span_text(host), .user = span_text(user), .port = 80
    };
    struct scope *scope = scope_new(&plan);

    (void)state;
    memset(host, 'x', sizeof host - 1);
    memset(user, 'x', sizeof user - 1);
    assert_true(span_equal(scope->host, SPAN("a.example")));
    assert_true(span_equal(scope->to, SPAN("a.example")));
    assert_true(span_equal(scope->user, SPAN("alice")));
    assert_int_equal(scope->port, 80);
    assert_false(scope->is_secure);
    assert_null(scope->failure);
    scope_free(&scope);
    assert_null(scope);
    scope_free(&scope); // harmless
}

static void a_secure_scope_keeps_what_was_offered(void **state)
{
    char ciphers[HELLO_COPY_BYTES + 2];
    struct hello hello = { .server_name = "a.example",
                           .protocols = SPAN("\x02h2\x08http/1.1"),
                           .groups = SPAN("\x00\x1d"),
                           .version = 0x0304,
                           .family = 7 };
    struct error failure;
    struct scope_plan plan = { .host = SPAN("a.example"),
                               .to = SPAN("192.0.2.1"),
                               .port = 443,
                               .to_is_literal = true,
                               .is_stopped = true,
                               .hello = &hello,
                               .failure = &failure };
    struct scope *scope;

    (void)state;
    memset(ciphers, 1, sizeof ciphers);
    hello.ciphers = span_of(ciphers, sizeof ciphers);
    error_set(&failure, ERROR_REFUSED, "refused");
    scope = scope_new(&plan);
    memset(ciphers, 2, sizeof ciphers);
    failure.text[0] = 'x';
    assert_true(scope->is_secure && scope->offers_http1 && scope->to_is_literal &&
                scope->is_stopped);
    assert_true(span_equal(scope->to, SPAN("192.0.2.1")));
    assert_int_equal(scope->hello->version, 0x0304);
    assert_int_equal(scope->hello->family, 7);
    assert_true(span_equal(scope->hello->groups, SPAN("\x00\x1d")));
    assert_int_equal(scope->hello->ciphers.size, HELLO_COPY_BYTES); // one beyond is left out
    assert_int_equal(scope->hello->ciphers.at[HELLO_COPY_BYTES - 1], 1);
    assert_string_equal(scope->failure->text, "refused");
    scope_free(&scope);

    hello.protocols = SPAN("\x02h2");
    scope = scope_new(&plan);
    assert_false(scope->offers_http1);
    scope_free(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_scope_in_clear_keeps_its_texts),
                                        cmocka_unit_test(a_secure_scope_keeps_what_was_offered) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
