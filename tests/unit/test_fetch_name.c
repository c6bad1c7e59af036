/* From URLs to file names: whatever a URL says, the name stays in its directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/fetch_name.h"

static const struct {
    const char *path, *name;
} cases[] = {
    { "/a/b/c.html", "c.html" },
    { "/", "index" },
    { "/a/", "index" },
    { "", "index" },
    { "/a%20b.txt", "a b.txt" },
    { "/caf%C3%A9.txt", "caf\xc3\xa9.txt" },
    { "/x.jpg?size=2", "x_size=2.jpg" },
    { "/x?", "x" },
    { "/?q=1", "index_q=1" },
    { "/a.tar.gz?v=2", "a_v=2.tar.gz" },
    // out of the directory
    { "/..", "__" },
    { "/.", "_" },
    { "/...", "_._" },
    { "/../../x", "x" },
    { "/..%2f..%2fx", "_._.._x" },
    { "/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "_._.._etc_passwd" },
    { "/..%5c..%5cx", "_._.._x" },
    { "/x?f=../../y", "x_f=.._.._y" },
    { "/%00x", "_x" },
    { "/a%00b", "a_b" },
    // what some file systems, shells and people stumble over
    { "/.bashrc", "_bashrc" },
    { "/-rf", "_rf" },
    { "/~root", "_root" },
    { "/%20x", "_x" },
    { "/x.", "x_" },
    { "/x%20", "x_" },
    { "/a%0ab%1b[31m", "a_b_[31m" },
    { "/a:b*c%3Fd%22e%3Cf%3Eg%7Ch", "a_b_c_d_e_f_g_h" },
    { "/con", "_con" },
    { "/NUL.txt", "_NUL.txt" },
    { "/com1", "_com1" },
    { "/com", "com" },
    { "/console", "console" },
    // letters that are none, or that hide something
    { "/%ff%fe", "__" },
    { "/%c0%afx", "__x" },
    { "/%ed%a0%80", "___" },
    { "/x%e2%80%aetxt.exe", "x___txt.exe" },
    { "/%ef%bb%bfx", "___x" },
    { "/%c2%85x", "__x" },
};

static void names_are_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[FETCH_NAME_ROOM];
        size_t size = fetch_name_of(name, span_text(cases[i].path));

        if (strcmp(name, cases[i].name) != 0 || size != strlen(name))
            fail_msg("%s: %s", cases[i].path, name);
    }
}

/* Every byte, alone, doubled and percent-encoded. */
static void no_byte_gets_through(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char path[32], name[FETCH_NAME_ROOM];

        snprintf(path, sizeof path, "/a%%%02xb%%%02X", byte, byte);
        fetch_name_of(name, span_text(path));
        assert_true(name[0] == 'a' || name[0] == 'b' || name[0] == '_' || name[0] == 'i');
        for (size_t i = 0; name[i]; i++)
            assert_false(name[i] == '/' || name[i] == '\\' || (unsigned char)name[i] < 0x20 ||
                         name[i] == 0x7f);
    }
}

static void long_names_are_cut(void **state)
{
    (void)state;
    for (size_t size = FETCH_NAME_BYTES - 2; size < FETCH_NAME_BYTES + 3; size++) {
        char path[400] = "/", name[FETCH_NAME_ROOM];

        memset(path + 1, 'x', size);
        memcpy(path + 1 + size - 4, ".txt", 5);
        fetch_name_of(name, span_text(path));
        assert_true(strlen(name) <= FETCH_NAME_BYTES);
        assert_string_equal(name + strlen(name) - 4, ".txt");
        if (size <= FETCH_NAME_BYTES)
            assert_string_equal(name, path + 1);
        else
            assert_non_null(strchr(name, '-'));
    }
    { // not inside a letter
        char path[2000] = "/", name[FETCH_NAME_ROOM];

        for (size_t i = 0; i < 300; i++)
            memcpy(path + 1 + 6 * i, "%C3%A9", 6);
        fetch_name_of(name, span_of(path, 1 + 6 * 300));
        for (size_t i = 0; name[i] && name[i] != '-'; i += 2)
            assert_true((unsigned char)name[i] == 0xc3 && (unsigned char)name[i + 1] == 0xa9);
    }
}

static const struct {
    const char *name;
    unsigned number;
    const char *want;
} tries[] = {
    { "a.txt", 0, "a.txt" }, { "a.txt", 1, "a-2.txt" },       { "a.txt", 8, "a-9.txt" },
    { "a", 1, "a-2" },       { "a.tar.gz", 1, "a-2.tar.gz" }, { "a.b c", 1, "a.b c-2" },
};

static void taken_names_are_numbered(void **state)
{
    char name[FETCH_NAME_ROOM], other[FETCH_NAME_ROOM];

    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        fetch_name_try(name, tries[i].name, tries[i].number, SPAN("http://h/"));
        if (strcmp(name, tries[i].want) != 0)
            fail_msg("%s %u: %s", tries[i].name, tries[i].number, name);
    }
    fetch_name_try(name, "a.txt", 9, SPAN("http://h/1"));
    fetch_name_try(other, "a.txt", 9, SPAN("http://h/2"));
    assert_string_not_equal(name, other);
    assert_int_equal(strlen(name), strlen("a-0123456789abcdef.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe),
        cmocka_unit_test(no_byte_gets_through),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(taken_names_are_numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
