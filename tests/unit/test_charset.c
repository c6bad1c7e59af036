/* Charsets: labels, byte order marks and what a page says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/charset.h"

static void labels_have_names_and_kinds(void **state)
{
    static const struct {
        const char *label, *name;
        enum charset_kind kind;
    } cases[] = {
        { "UTF-8", "utf-8", CHARSET_READABLE },
        { " utf8\t", "utf-8", CHARSET_READABLE },
        { "latin1", "windows-1252", CHARSET_READABLE },
        { "X-SJIS", "shift_jis", CHARSET_READABLE },
        { "gb2312", "gbk", CHARSET_READABLE },
        { "utf-16", "utf-16le", CHARSET_UNREADABLE },
        { "unicode", "utf-16le", CHARSET_UNREADABLE },
        { "ISO-2022-JP", "iso-2022-jp", CHARSET_UNREADABLE },
        { "hz-gb-2312", "replacement", CHARSET_UNREADABLE },
        { "utf-7", "utf-7", CHARSET_UNREADABLE },
        { "", NULL, CHARSET_UNKNOWN },
        { "utf", NULL, CHARSET_UNKNOWN },
        { "utf-8 x", NULL, CHARSET_UNKNOWN },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span label = span_text(cases[i].label), name = charset_name(label);
        if (!span_equal(name, span_text(cases[i].name)) || charset_kind(label) != cases[i].kind)
            fail_msg("%s: %.*s, %d", cases[i].label, SPAN_PRINT(name), charset_kind(label));
    }
}

static void a_page_says_its_charset(void **state)
{
    static const struct {
        const char *name;
        struct span page;
        const char *want;
    } cases[] = {
        { "mark", { "\xef\xbb\xbf<meta charset=koi8-r>", 25 }, "utf-8" },
        { "big endian", { "\xfe\xff\0<", 4 }, "utf-16be" },
        { "little endian", { "\xff\xfe<\0", 4 }, "utf-16le" },
        { "declaration", { "<\0?\0x\0", 6 }, "utf-16le" },
        { "nothing", { "<p>x", 4 }, NULL },
        { "empty", { "", 0 }, NULL },
    };
    static const struct {
        const char *page, *want;
    } metas[] = {
        { "<meta charset=koi8-r>", "koi8-r" },
        { "<META/CHARSET = 'koi8-r' >", "koi8-r" },
        { "<meta charset=koi8-r", NULL }, // cut off
        { "<meta charset=koi8-r ", NULL },
        { "<metacharset=koi8-r>", NULL },
        { "<meta http-equiv=content-type content='text/html; charset=koi8-r'>", "koi8-r" },
        { "<meta content='text/html; charset=koi8-r' http-equiv=Content-Type>", "koi8-r" },
        { "<meta content='text/html; charset=koi8-r'>", NULL },
        { "<meta http-equiv=content-type content='charset; charset=\"koi8-r\"'>", "koi8-r" },
        { "<!-- <meta charset=utf-8> --><meta charset=koi8-r>", "koi8-r" },
        { "<!--><meta charset=koi8-r>", "koi8-r" },
        { "<p title='<meta charset=utf-8>'><meta charset=koi8-r>", "koi8-r" },
        { "</p title='<meta charset=utf-8>'><meta charset=koi8-r>", "koi8-r" },
        { "<? <meta charset=koi8-r>", NULL },
        { "<meta charset=utf-16>", "utf-8" },
        { "<meta charset=x-user-defined>", "windows-1252" },
        { "<meta charset=nobody-knows><meta charset=koi8-r>", "koi8-r" },
        { "<meta charset=koi8-r charset=utf-8>", "koi8-r" },
        { "<meta charset=iso-2022-jp>", "iso-2022-jp" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!span_equal(charset_sniff(cases[i].page), span_text(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].name, SPAN_PRINT(charset_sniff(cases[i].page)));
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++)
        if (!span_equal(charset_sniff(span_text(metas[i].page)), span_text(metas[i].want)))
            fail_msg("%s: %.*s", metas[i].page,
                     SPAN_PRINT(charset_sniff(span_text(metas[i].page))));
}

static void a_mark_wins_then_the_label(void **state)
{
    (void)state;
    assert_true(charset_of_page(SPAN("utf-8"), SPAN("\xff\xfe<\0")) == CHARSET_UNREADABLE);
    assert_true(charset_of_page(SPAN("utf-16"), SPAN("\xef\xbb\xbf<p>")) == CHARSET_READABLE);
    assert_true(charset_of_page(SPAN("iso-2022-jp"), SPAN("<p>")) == CHARSET_UNREADABLE);
    assert_true(charset_of_page(SPAN("x"), SPAN("<meta charset=iso-2022-jp>")) ==
                CHARSET_UNREADABLE);
    assert_true(charset_of_page(SPAN_NONE, SPAN("<p>")) == CHARSET_UNKNOWN);
}

/* html5lib's encoding tests, where they are: "#data" ... "#encoding" ... */
static size_t run_file(const char *path, size_t *good)
{
    FILE *file = fopen(path, "rb");
    static char bytes[1 << 20];
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0, count = 0;
    struct span text = span_of(bytes, size);

    if (file)
        fclose(file);
    while (span_find(text, SPAN("#data\n")) < text.size) {
        struct span data, want, got;

        text = span_from(text, span_find(text, SPAN("#data\n")) + 6);
        data = span_slice(text, 0, span_find(text, SPAN("#encoding\n")));
        if (data.size == text.size)
            break;
        text = span_from(text, data.size + 10);
        want = span_trim(span_slice(text, 0, span_find_byte(text, '\n')));
        got = charset_sniff(data);
        if (!got.at)
            got = SPAN("windows-1252");
        count++;
        if (span_equal_nocase(got, want))
            ++*good;
        else
            printf("# want %.*s, got %.*s\n", SPAN_PRINT(want), SPAN_PRINT(got));
    }
    return count;
}

static void html5libs_tests_pass(void **state)
{
    static const char *const names[] = { "tests1.dat", "tests2.dat", "test-yahoo-jp.dat" };
    const char *shared = getenv("DEJUNK_SHARED");
    size_t count = 0, good = 0;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%.3000s/kits/html/html5lib/encoding/%s",
                 shared ? shared : "../shared", names[i]);
        count += run_file(path, &good);
    }
    if (count == 0) {
        printf("# no encoding tests under DEJUNK_SHARED\n");
        skip();
    }
    assert_int_equal(good, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_have_names_and_kinds),
        cmocka_unit_test(a_page_says_its_charset),
        cmocka_unit_test(a_mark_wins_then_the_label),
        cmocka_unit_test(html5libs_tests_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
