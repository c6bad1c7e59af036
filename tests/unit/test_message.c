/* Messages: names, lists, what is for one connection only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/message.h"

static void every_name_finds_itself(void **state)
{
    (void)state;
    for (int id = FIELD_OTHER + 1; id < FIELDS; id++) {
        struct span name = field_id_name((enum field_id)id);
        char other[64];

        if (name.size == 0 || field_id_of(name) != (enum field_id)id)
            fail_msg("%.*s is %d, not %d", SPAN_PRINT(name), field_id_of(name), id);
        for (size_t i = 0; i < name.size; i++) // all capitals
            other[i] =
                (char)(name.at[i] >= 'a' && name.at[i] <= 'z' ? name.at[i] & ~0x20 : name.at[i]);
        if (field_id_of(span_of(other, name.size)) != (enum field_id)id)
            fail_msg("%.*s is not found without case", SPAN_PRINT(name));
        for (size_t i = 0; i < name.size; i++) { // one byte changed, at each place
            memcpy(other, name.at, name.size);
            other[i] = (char)(other[i] ^ (other[i] == '-' ? 0x02 : 0x01));
            if (field_id_of(span_of(other, name.size)) == (enum field_id)id)
                fail_msg("%.*s is taken for another", SPAN_PRINT(name));
        }
        if (field_id_of(span_slice(name, 0, name.size - 1)) == (enum field_id)id)
            fail_msg("%.*s without its end", SPAN_PRINT(name));
    }
    assert_int_equal(field_id_of(SPAN("")), FIELD_OTHER);
    assert_int_equal(field_id_of(SPAN("X-Some-Very-Long-Name-That-Nobody-Has")), FIELD_OTHER);
    assert_int_equal(field_id_of(SPAN("Content_Length")), FIELD_OTHER);
}

static void methods_are_known_with_case(void **state)
{
    static const struct {
        const char *name;
        enum method method;
        bool is_safe, is_idempotent;
    } cases[] = {
        { "GET", METHOD_GET, true, true },          { "HEAD", METHOD_HEAD, true, true },
        { "POST", METHOD_POST, false, false },      { "PUT", METHOD_PUT, false, true },
        { "DELETE", METHOD_DELETE, false, true },   { "CONNECT", METHOD_CONNECT, false, false },
        { "OPTIONS", METHOD_OPTIONS, true, true },  { "TRACE", METHOD_TRACE, true, true },
        { "PATCH", METHOD_PATCH, false, false },    { "get", METHOD_OTHER, false, false },
        { "PROPFIND", METHOD_OTHER, false, false }, { "", METHOD_OTHER, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum method method = method_of(span_text(cases[i].name));

        if (method != cases[i].method || method_is_safe(method) != cases[i].is_safe ||
            method_is_idempotent(method) != cases[i].is_idempotent)
            fail_msg("%s", cases[i].name);
    }
    assert_string_equal(status_phrase(502), "Bad Gateway");
    assert_string_equal(status_phrase(999), "");
}

static void fields_are_added_found_and_dropped(void **state)
{
    struct message message;
    struct arena arena;
    const struct field *field;

    (void)state;
    arena_init(&arena, 1 << 20);
    message_init(&message, &arena, true);
    assert_true(message_add(&message, SPAN("via"), SPAN(" a ")));
    assert_true(message_add(&message, SPAN("X-Own"), SPAN("b")));
    assert_true(message_add(&message, SPAN("VIA"), SPAN("c")));
    field = message_find(&message, FIELD_VIA);
    assert_true(span_equal(field->value, SPAN("a")));
    field = message_find_next(&message, field);
    assert_true(span_equal(field->value, SPAN("c")));
    assert_null(message_find_next(&message, field));
    assert_true(span_equal(message_find_name(&message, SPAN("x-oWN"))->value, SPAN("b")));
    assert_true(message_set(&message, FIELD_VIA, SPAN("d")));
    assert_true(span_equal(message_value(&message, FIELD_VIA), SPAN("d")));
    assert_null(message_find_next(&message, message_find(&message, FIELD_VIA)));
    message_drop(&message, FIELD_VIA);
    assert_null(message_value(&message, FIELD_VIA).at);

    assert_false(message_add(&message, SPAN(""), SPAN("x")));
    assert_false(message_add(&message, SPAN("a b"), SPAN("x")));
    assert_false(message_add(&message, SPAN("a:"), SPAN("x")));
    assert_false(message_add(&message, SPAN("a"), SPAN("x\r\nHost: b")));
    assert_false(message_add(&message, SPAN("a"), SPAN("x\0")));
    assert_false(message_add_trailer(&message, SPAN("a"), SPAN("x\ny")));

    while (message.field_count < MESSAGE_FIELDS)
        assert_true(message_add(&message, SPAN("a"), SPAN("x")));
    assert_false(message_add(&message, SPAN("a"), SPAN("x")));
    arena_done(&arena);
}

static void lists_are_read_over_all_fields(void **state)
{
    struct message message;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16);
    message_init(&message, &arena, true);
    message_add(&message, SPAN("Connection"), SPAN("a, Close"));
    message_add(&message, SPAN("Connection"), SPAN(",\tTE ,"));
    assert_true(message_lists(&message, FIELD_CONNECTION, SPAN("close")));
    assert_true(message_lists(&message, FIELD_CONNECTION, SPAN("te")));
    assert_false(message_lists(&message, FIELD_CONNECTION, SPAN("clos")));
    assert_false(message_lists(&message, FIELD_CONNECTION, SPAN("")));
    arena_done(&arena);
}

static void connection_names_have_a_limit(void **state)
{
    struct message message;
    struct arena arena;
    struct buffer names = { .limit_bytes = 2000 };

    (void)state;
    for (int i = 0; i <= MESSAGE_CONNECTION_NAMES; i++)
        assert_true(buffer_printf(&names, "n%d, ", i));
    arena_init(&arena, 1 << 16);
    message_init(&message, &arena, true);
    message_add(&message, SPAN("Connection"), buffer_span(&names));
    message_add(&message, SPAN("n63"), SPAN("x"));
    message_add(&message, SPAN("n64"), SPAN("x"));
    message_drop_hop_by_hop(&message);
    assert_null(message_find_name(&message, SPAN("n63")));
    assert_non_null(message_find_name(&message, SPAN("n64")));
    assert_true(message.is_abnormal);
    buffer_release(&names);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_finds_itself),
        cmocka_unit_test(methods_are_known_with_case),
        cmocka_unit_test(fields_are_added_found_and_dropped),
        cmocka_unit_test(lists_are_read_over_all_fields),
        cmocka_unit_test(connection_names_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
