/* The tables of element names: each is found by its key, in either case, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/tag.h"

static void every_name_is_found_by_its_key(void **state)
{
    (void)state;
    for (enum tag tag = TAG_OTHER + 1; tag < TAGS_COUNT; tag++) {
        struct span name = span_text(tag_row(tag)->name);
        char upper[32];

        if (tag_key(name) != tag_key_of(tag) || tag_find(tag_key(name)) != tag)
            fail_msg("%s: key %#llx", name.at, (unsigned long long)tag_key(name));
        assert_true(name.size == tag_row(tag)->size && name.size < sizeof upper);
        for (size_t i = 0; i < name.size; i++)
            upper[i] =
                name.at[i] >= 'a' && name.at[i] <= 'z' ? (char)(name.at[i] - 32) : name.at[i];
        if (tag_key(span_of(upper, name.size)) != tag_key_of(tag))
            fail_msg("%s in capitals", name.at);
    }
}

static void other_names_are_not(void **state)
{
    static const char *const names[] = { "",          "x",           "dive",
                                         "di",        "spa\x4e\x01", "h\x11",
                                         "blockquot", "blockquotes", "foreignobjects",
                                         "h7",        "@",           "[" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tag_find(tag_key(span_text(names[i]))) != TAG_OTHER)
            fail_msg("%s", names[i]);
}

static void only_ascii_letters_are_folded(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint64_t want = c >= 'A' && c <= 'Z' ? c + 32 : c;
        uint64_t got = tag_fold(c * 0x0101010101010101u);
        if (got != want * 0x0101010101010101u)
            fail_msg("%#x became %#llx", c, (unsigned long long)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found_by_its_key),
        cmocka_unit_test(other_names_are_not),
        cmocka_unit_test(only_ascii_letters_are_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
