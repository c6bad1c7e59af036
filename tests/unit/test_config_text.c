/* What libconfuse gets to see; what it must not see is tested with the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "state/config_text.h"

static const struct {
    const char *text, *want; // NULL: a fault
} cases[] = {
    { "", "" },
    { "via = yes", "via = yes" },
    { "a # b\nc", "a    \nc" },
    { "a // b\nc", "a     \nc" },
    { "a /* b\n */ c", "a     \n    c" },
    { "/**/", "    " },
    { "/*/ */", "      " },
    { "/*/", NULL },
    { "/", "/" },
    { "a = /x//y", "a = /x//y" },
    { "a = \"# // /* */\"", "a = \"# // /* */\"" },
    { "a = '# \"'", "a = '# \"'" },
    { "a = \"\\\"#\"", "a = \"\\\"#\"" },
    { "a = '\\'#'", "a = '\\'#'" },
    { "a = '${x}'", "a = '${x}'" },
    { "a = \"\\${x}\"", "a = \"\\${x}\"" },
    { "a = \"$y$\"", "a = \"$y$\"" },
    { "a = \"${\"", NULL },
    { "a=b", "a=b" },
    { "a+={b,c}", "a+={b,c}" },
    { "a\t=\tb\r\n", "a = b \n" },
    { "\xef\xbb\xbfx", "   x" },
    { "x\xef\xbb\xbf", "x\xef\xbb\xbf" },
    { "{{}}", "{{}}" },
    { "{{{}}}", NULL },
    { "\"", NULL },
    { "\"\\", NULL },
    { "'\\", NULL },
    { "'\\\n'", NULL },
    { "+", NULL },
    { "*", NULL },
    { "\x7f", NULL },
};

static void cleans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span text = span_text(cases[i].text);
        char *to = malloc(text.size + 1); // no byte more: sanitizers see a write behind the end
        struct config_fault fault = { 0, NULL };
        bool is_clean;

        assert_non_null(to);
        is_clean = config_text_clean(text, to, &fault);
        if (is_clean != (cases[i].want != NULL))
            fail_msg("\"%s\": %d", cases[i].text, is_clean);
        if (is_clean && strcmp(to, cases[i].want) != 0)
            fail_msg("\"%s\": \"%s\"", cases[i].text, to);
        if (!is_clean && (!fault.reason || fault.line == 0))
            fail_msg("\"%s\": no reason", cases[i].text);
        free(to);
    }
}

static void refuses_nul(void **state)
{
    struct config_fault fault;
    char to[8];

    (void)state;
    assert_false(config_text_clean(span_of("a\0b", 3), to, &fault));
    assert_false(config_text_clean(span_of("\"\0\"", 3), to, &fault));
    assert_false(config_text_clean(span_of("'\\\0'", 4), to, &fault));
    assert_false(config_text_clean(span_of("#\0", 2), to, &fault));
    assert_false(config_text_clean(span_of("/*\0*/", 5), to, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cleans), cmocka_unit_test(refuses_nul) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
