/* Which known name a mistyped one was meant to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/nearest.h"

static const struct {
    const char *wanted;
    const char *known[4];
    const char *nearest;
} cases[] = {
    { "listne", { "listen", "list" }, "listen" },
    { "list", { "listen", "list" }, "list" },
    { "LISTEN", { "listen" }, "listen" },
    { "alow", { "allow", "aloud" }, "allow" },
    { "filter", { "gpc", "via" }, NULL },
    { "vi", { "gpc", "via" }, "via" },
    { "ab", { "abcd" }, NULL },
    { "abcdef", { "abcdxy" }, "abcdxy" },
    { "abcdef", { "abcxyz" }, NULL },
    { "first", { "firsd", "firse" }, "firsd" },
    { "", { "a" }, NULL },
    { "a", { "" }, "" },
    { "0123456789012345678901234567890123456789012345678901234567890123",
      { "012345678901234567890123456789012345678901234567890123456789012" },
      "012345678901234567890123456789012345678901234567890123456789012" },
    { "01234567890123456789012345678901234567890123456789012345678901234",
      { "0123456789012345678901234567890123456789012345678901234567890123" },
      NULL },
    { "0123456789012345678901234567890123456789012345678901234567890123",
      { "01234567890123456789012345678901234567890123456789012345678901234" },
      NULL },
};

static void finds_the_nearest(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nearest nearest;

        nearest_init(&nearest, span_text(cases[i].wanted));
        for (size_t j = 0; j < 4 && cases[i].known[j]; j++)
            nearest_offer(&nearest, cases[i].known[j]);
        if (!nearest.name != !cases[i].nearest ||
            (nearest.name && strcmp(nearest.name, cases[i].nearest) != 0))
            fail_msg("%s: %s", cases[i].wanted, nearest.name ? nearest.name : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds_the_nearest) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
