/* What is counted by site: in rows that do not grow, added up over workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/host_counts.h"

static struct host_rows one, other;
static struct host_totals totals;

static int empty(void **state)
{
    (void)state;
    memset(&one, 0, sizeof one);
    memset(&other, 0, sizeof other);
    memset(&totals, 0, sizeof totals);
    return 0;
}

static void add(struct host_rows *rows, const char *host, uint64_t requests, uint64_t elements)
{
    const uint64_t counts[HOST_COUNTS] = { [HOST_REQUESTS] = requests,
                                           [HOST_BYTES_NOT_FETCHED] = 100 * requests,
                                           [HOST_ELEMENTS_REMOVED] = elements };

    host_rows_add(rows, span_text(host), counts);
}

static void adds_up_workers(void **state)
{
    (void)state;
    add(&one, "a.example", 1, 0);
    add(&one, "b.example", 2, 5);
    add(&one, "a.example", 1, 0);
    add(&other, "a.example", 3, 0);
    add(&other, "", 3, 0);
    host_totals_add(&totals, &one);
    host_totals_add(&totals, &other);
    host_totals_sort(&totals);
    assert_int_equal(totals.count, 2);
    assert_string_equal(totals.items[0].name, "b.example");
    assert_int_equal(totals.items[0].counts[HOST_ELEMENTS_REMOVED], 5);
    assert_string_equal(totals.items[1].name, "a.example");
    assert_int_equal(totals.items[1].counts[HOST_REQUESTS], 5);
    assert_int_equal(totals.items[1].counts[HOST_BYTES_NOT_FETCHED], 500);
}

static void the_least_makes_room(void **state)
{
    char name[32];

    (void)state;
    for (unsigned i = 0; i < HOST_ROWS; i++) {
        snprintf(name, sizeof name, "%u.example", i);
        add(&one, name, i == 5 ? 1 : 10 + i, 0);
    }
    host_totals_add(&totals, &one);
    assert_int_equal(totals.count, HOST_ROWS);
    add(&one, "new.example", 2, 0); // one more than there are rows
    memset(&totals, 0, sizeof totals);
    host_totals_add(&totals, &one);
    assert_int_equal(totals.count, HOST_ROWS);
    for (size_t i = 0; i < totals.count; i++) {
        assert_string_not_equal(totals.items[i].name, "5.example");
        if (strcmp(totals.items[i].name, "new.example") == 0)
            assert_int_equal(totals.items[i].counts[HOST_REQUESTS], 2);
    }
}

static void of_long_names_the_end_counts(void **state)
{
    char name[HOST_NAME_BYTES + 2];

    (void)state;
    memset(name, 'x', sizeof name);
    name[HOST_NAME_BYTES] = '\0';
    add(&one, name, 1, 0);
    name[HOST_NAME_BYTES] = 'x';
    name[HOST_NAME_BYTES + 1] = '\0';
    add(&one, name, 1, 0);
    host_totals_add(&totals, &one);
    assert_int_equal(totals.count, 1);
    assert_int_equal(strlen(totals.items[0].name), HOST_NAME_BYTES);
    assert_int_equal(totals.items[0].counts[HOST_REQUESTS], 2);
}

static void totals_have_an_end(void **state)
{
    char name[32];

    (void)state;
    for (unsigned i = 0; i < HOST_TOTALS / HOST_ROWS + 1; i++) {
        memset(&one, 0, sizeof one);
        for (unsigned j = 0; j < HOST_ROWS; j++) {
            snprintf(name, sizeof name, "%u.%u.example", i, j);
            add(&one, name, 1, 0);
        }
        host_totals_add(&totals, &one);
    }
    assert_int_equal(totals.count, HOST_TOTALS);
    host_totals_sort(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(adds_up_workers, empty),
        cmocka_unit_test_setup(the_least_makes_room, empty),
        cmocka_unit_test_setup(of_long_names_the_end_counts, empty),
        cmocka_unit_test_setup(totals_have_an_end, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
