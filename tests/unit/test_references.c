/* Character references: HTML section 13.2.5.72 and what follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/references.h"

#define BAD "\xef\xbf\xbd"

static const struct {
    const char *raw, *text, *attribute; // attribute NULL: as in text
} cases[] = {
    { "plain", "plain", NULL },
    { "&amp;", "&", NULL },
    { "&amp", "&", NULL },
    { "&ampx", "&x", "&ampx" },
    { "&amp=1", "&=1", "&amp=1" },
    { "&amp1", "&1", "&amp1" },
    { "a&amp;b", "a&b", NULL },
    { "&AMP;&LT;", "&<", NULL },
    { "&quot;&apos;&lt;&gt;&amp;", "\"'<>&", NULL },
    { "&quot&QUOT;&quots", "\"\"\"s", "\"\"&quots" },
    { "&apos&gtx&lt", "&apos>x<", "&apos&gtx<" },
    { "&notit;", "\xc2\xacit;", "&notit;" },
    { "&notin;", "\xe2\x88\x89", NULL },
    { "&frac12xyz", "\xc2\xbdxyz", "&frac12xyz" },
    { "&frac12.", "\xc2\xbd.", NULL },
    { "&notmine;", "\xc2\xacmine;", "&notmine;" },
    { "&utm_source_and_more=1", "&utm_source_and_more=1", NULL },
    { "&copy=1", "\xc2\xa9=1", "&copy=1" },
    { "&unknown;", "&unknown;", NULL },
    { "&", "&", NULL },
    { "&;", "&;", NULL },
    { "& x", "& x", NULL },
    { "&#65;", "A", NULL },
    { "&#65", "A", NULL },
    { "&#x41;", "A", NULL },
    { "&#X41;", "A", NULL },
    { "&#x3042;&#12356; &#X1F600;", "\xe3\x81\x82\xe3\x81\x84 \xf0\x9f\x98\x80", NULL },
    { "&#65a;&#x41G;&#x4`;", "Aa;AG;\x04`;", NULL },
    { "&#x;", "&#x;", NULL },
    { "&#;", "&#;", NULL },
    { "&#0;", BAD, NULL },
    { "&#x80;", "\xe2\x82\xac", NULL },
    { "&#x9f;", "\xc5\xb8", NULL },
    { "&#xd800;", BAD, NULL },
    { "&#x10ffff;", "\xf4\x8f\xbf\xbf", NULL },
    { "&#x110000;", BAD, NULL },
    { "&#99999999999999999999;", BAD, NULL },
    { "&NotEqualTilde;", "\xe2\x89\x82\xcc\xb8", NULL }, // two characters
    { "\xe9&eacute;\xe9", "\xe9\xc3\xa9\xe9", NULL },    // not UTF-8: copied
    { "a\r\nb\rc\n", "a\nb\nc\n", NULL },
    { "https://a.example/?x=1&lt=2&y", "https://a.example/?x=1<=2&y",
      "https://a.example/?x=1&lt=2&y" },
};

static void decodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int where = REFERENCES_IN_TEXT; where <= REFERENCES_IN_ATTRIBUTE; where++) {
            struct buffer got = { .limit_bytes = 1000 };
            const char *want = where == REFERENCES_IN_ATTRIBUTE && cases[i].attribute
                                   ? cases[i].attribute
                                   : cases[i].text;
            struct span raw = span_text(cases[i].raw);

            assert_true(references_decode(&got, raw, (enum references_where)where));
            if (!span_equal(buffer_span(&got), span_text(want)))
                fail_msg("%s in %s: %.*s", cases[i].raw, where ? "attribute" : "text",
                         SPAN_PRINT(buffer_span(&got)));
            if (!references_needed(raw) && !span_equal(raw, buffer_span(&got)))
                fail_msg("%s was said to need nothing", cases[i].raw);
            buffer_release(&got);
        }
}

static void stops_at_the_limit(void **state)
{
    struct buffer got = { .limit_bytes = 5 };

    (void)state;
    assert_true(references_decode(&got, SPAN("&lt;1234"), REFERENCES_IN_TEXT));
    got.size = 0;
    assert_false(references_decode(&got, SPAN("&lt;12345"), REFERENCES_IN_TEXT));
    buffer_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(stops_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
