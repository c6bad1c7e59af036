/* Tokens for going on anyway: good for their host, client and time, and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/visit.h"

static const unsigned char secret[VISIT_SECRET_BYTES] = "one secret of thirty-two bytes!";
static const unsigned char other[VISIT_SECRET_BYTES] = "another secret of so many bytes";

static void a_token_is_good_for_what_it_was_made_for(void **state)
{
    static const struct {
        const char *name, *host, *client;
        const unsigned char *secret;
        int64_t later_ms;
        bool want;
    } cases[] = {
        { "as made", "shop.example", "192.0.2.7", secret, 0, true },
        { "at its last moment", "shop.example", "192.0.2.7", secret, VISIT_GOOD_MS - 1, true },
        { "over", "shop.example", "192.0.2.7", secret, VISIT_GOOD_MS, false },
        { "from the future", "shop.example", "192.0.2.7", secret, -1, false },
        { "another host", "shop.exampl", "192.0.2.7", secret, 0, false },
        { "another client", "shop.example", "192.0.2.8", secret, 0, false },
        { "moved blank", "shop.example 192.0.2.7", "", secret, 0, false },
        { "another secret", "shop.example", "192.0.2.7", other, 0, false },
    };
    char token[VISIT_TOKEN_BYTES];
    uint64_t number, now_ms = 1800000000000;

    (void)state;
    visit_token(token, secret, SPAN("shop.example"), SPAN("192.0.2.7"), now_ms);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool got =
            visit_check(span_text(token), cases[i].secret, span_text(cases[i].host),
                        span_text(cases[i].client), now_ms + (uint64_t)cases[i].later_ms, &number);
        if (got != cases[i].want)
            fail_msg("%s: got %d", cases[i].name, got);
    }
}

static void a_changed_token_is_none(void **state)
{
    char token[VISIT_TOKEN_BYTES];
    uint64_t number, now_ms = 1800000000000;
    size_t size;

    (void)state;
    visit_token(token, secret, SPAN("a.example"), SPAN("::1"), now_ms);
    size = strlen(token);
    for (size_t i = 0; i < size; i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        assert_false(
            visit_check(span_text(token), secret, SPAN("a.example"), SPAN("::1"), now_ms, &number));
        token[i] = kept;
    }
    assert_false(visit_check(span_of(token, size - 1), secret, SPAN("a.example"), SPAN("::1"),
                             now_ms, &number));
    assert_false(visit_check(SPAN(""), secret, SPAN("a.example"), SPAN("::1"), now_ms, &number));
}

static void every_token_has_a_number_of_its_own(void **state)
{
    char one[VISIT_TOKEN_BYTES], two[VISIT_TOKEN_BYTES];
    uint64_t first, second;

    (void)state;
    visit_token(one, secret, SPAN("a.example"), SPAN("::1"), 1000);
    visit_token(two, secret, SPAN("a.example"), SPAN("::1"), 1000);
    assert_true(visit_check(span_text(one), secret, SPAN("a.example"), SPAN("::1"), 1000, &first));
    assert_true(visit_check(span_text(two), secret, SPAN("a.example"), SPAN("::1"), 1000, &second));
    assert_true(first != second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_good_for_what_it_was_made_for),
        cmocka_unit_test(a_changed_token_is_none),
        cmocka_unit_test(every_token_has_a_number_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
