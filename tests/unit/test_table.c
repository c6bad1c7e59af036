/* The hash table: adding, finding, removing, growing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/table.h"

struct number {
    struct table_node node; // first
    uint32_t value;
};

static bool is_number(const struct table_node *node, const void *key)
{
    return ((const struct number *)node)->value == *(const uint32_t *)key;
}

static uint64_t hash_of(const struct table *table, uint32_t value)
{
    return table_hash(table, span_of((const char *)&value, sizeof value));
}

static void what_is_added_is_found_until_removed(void **state)
{
    static struct number numbers[1000];
    struct table table;
    (void)state;
    table_init(&table);
    for (uint32_t i = 0; i < 1000; i++) {
        numbers[i].value = i;
        table_add(&table, &numbers[i].node, hash_of(&table, i));
    }
    assert_int_equal(table.count, 1000);
    for (uint32_t i = 0; i < 1000; i += 2)
        table_remove(&table, &numbers[i].node);
    for (uint32_t i = 0; i < 1000; i++) {
        struct table_node *found = table_find(&table, hash_of(&table, i), is_number, &i);
        assert_ptr_equal(found, i % 2 ? &numbers[i].node : NULL);
    }
    table_done(&table);
}

static void remove_it(struct table_node *node, void *owner)
{
    table_remove(owner, node);
}

static void a_visitor_may_remove_what_it_sees(void **state)
{
    struct number numbers[50];
    struct table table;
    (void)state;
    table_init(&table);
    for (uint32_t i = 0; i < 50; i++) {
        numbers[i].value = i;
        table_add(&table, &numbers[i].node, hash_of(&table, i));
    }
    table_visit(&table, remove_it, &table);
    assert_int_equal(table.count, 0);
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_until_removed),
        cmocka_unit_test(a_visitor_may_remove_what_it_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
