/* The script for browsers: where it says the proxy is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "admin/pac.h"

static void names_where_it_was_asked_for(void **state)
{
    static const struct {
        const char *host, *want;
    } cases[] = {
        { "127.0.0.1:8119", "127.0.0.1:8119" },
        { "192.168.1.2", "192.168.1.2:80" },
        { "[::1]:8119", "[::1]:8119" },
        { "[::1]", "[::1]:80" },
        { "localhost:8119", "localhost:8119" },
        { "dejunk", "10.0.0.1:1" },
        { "DeJunk:80", "10.0.0.1:1" },
        { "", "10.0.0.1:1" },
        { "a\";alert(1);\"", "10.0.0.1:1" },
        { "a b", "10.0.0.1:1" },
        { "a:99999", "10.0.0.1:1" },
        { "a;b", "10.0.0.1:1" },
        { "u@a", "10.0.0.1:1" },
        { "\\u0022", "10.0.0.1:1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = { .limit_bytes = 8192 };
        char want[100];

        snprintf(want, sizeof want, "var proxy = \"PROXY %s\";\n", cases[i].want);
        assert_true(pac_write(&out, span_text(cases[i].host), SPAN("10.0.0.1:1")));
        if (span_find(buffer_span(&out), span_text(want)) == out.size)
            fail_msg("%s: not %s in %.*s", cases[i].host, cases[i].want,
                     SPAN_PRINT(buffer_span(&out)));
        assert_true(
            span_starts(buffer_span(&out), SPAN("function FindProxyForURL(url, host) {\n")));
        assert_true(span_ends(buffer_span(&out), SPAN("return proxy + \"; DIRECT\";\n}\n")));
        buffer_release(&out);
        out.limit_bytes = 500;
        assert_false(pac_write(&out, span_text(cases[i].host), SPAN("10.0.0.1:1")));
        buffer_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(names_where_it_was_asked_for) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
