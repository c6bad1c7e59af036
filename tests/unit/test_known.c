/* Sections in which nothing stands twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "filter/known.h"

enum { THINGS = 5000 }; // the table grows several times

static uint32_t add(struct known *known, struct vector *section, uint32_t word, size_t count)
{
    size_t start = section->count;

    for (size_t i = 0; i < count; i++)
        *VECTOR_ADD(*section, uint32_t) = word;
    return known_settle(known, section, sizeof word, start);
}

static void equal_things_stand_once(void **state)
{
    struct vector section = { 0 };
    struct known known = { 0 };
    size_t size;

    (void)state;
    for (uint32_t i = 0; i < THINGS; i++) {
        size = section.count;
        assert_int_equal(add(&known, &section, i, 1 + i % 3), size);
    }
    size = section.count;
    for (uint32_t i = 0; i < THINGS; i++) {
        uint32_t at = add(&known, &section, i, 1 + i % 3);
        assert_int_equal(VECTOR_AT(section, uint32_t, at), i);
        assert_int_equal(section.count, size);
    }
    add(&known, &section, 1, 1); // part of a thing is another
    assert_int_equal(section.count, size + 1);
    vector_done(&section);
    known_done(&known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_things_stand_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
