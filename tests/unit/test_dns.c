/* Reading answers of name servers: compression, chains, codes, limits, and packets cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "io/dns.h"
#include "name_server.h"

static struct packet packet;

static void begin(const char *name, unsigned type)
{
    packet.size = packet.count = 0;
    packet.code = 0;
    put_number(&packet, 0x1234, 2);
    put_number(&packet, 0x8180, 2);
    put_number(&packet, 1, 2);
    put_number(&packet, 0, 6);
    put_name(&packet, name);
    put_number(&packet, type, 2);
    put_number(&packet, 1, 2);
}

static const char *read_as(const char *name, bool want_v6)
{
    static const char *const outcomes[] = {
        [DNS_FOUND] = "",
        [DNS_NO_DATA] = "no data",
        [DNS_NO_NAME] = "no name",
        [DNS_FAILED] = "failed",
    };
    static char text[2000];
    struct dns_reply reply;
    char *bytes = malloc(packet.size ? packet.size : 1); // sanitizers see a read behind its end
    size_t used;

    memcpy(bytes, packet.bytes, packet.size);
    dns_parse(&reply, span_of(bytes, packet.size), name, want_v6);
    free(bytes);
    used = (size_t)snprintf(text, sizeof text, "%s", outcomes[reply.outcome]);
    assert_true((reply.outcome == DNS_FOUND) == (reply.count > 0) || reply.outcome == DNS_FAILED);
    if (reply.outcome != DNS_FOUND)
        return text;
    for (size_t i = 0; i < reply.count; i++) {
        char address[ADDRESS_TEXT_BYTES];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ",
                                 address_text(&reply.addresses[i], address));
    }
    for (size_t i = 0; i < reply.alias_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "<%s> ", reply.aliases[i]);
    snprintf(text + used, sizeof text - used, "%u", reply.ttl_s);
    return text;
}

static const char *reading(const char *name)
{
    mend_head(&packet, false);
    return read_as(name, false);
}

static void put_alias(const char *owner, const char *target, unsigned long ttl)
{
    struct packet data = { .size = 0 };

    put_name(&data, target);
    put_record(&packet, owner, 5, ttl, data.bytes, data.size);
}

static void plain_answers(void **state)
{
    (void)state;
    begin("a.b", 1);
    assert_string_equal(reading("a.b"), "no data");
    put_address(&packet, NULL, "192.0.2.1", 60);
    put_address(&packet, "A.B", "192.0.2.2", 50); // case does not count
    put_address(&packet, "c.b", "192.0.2.3", 10); // of somebody else
    put_address(&packet, NULL, "::1", 10);        // of another kind
    assert_string_equal(reading("a.b"), "192.0.2.1 192.0.2.2 50");
    assert_string_equal(reading("b.b"), "failed");
    assert_string_equal(read_as("a.b", true), "failed"); // asked for another kind

    begin("a.b", 28);
    put_address(&packet, NULL, "2001:db8::1", 60);
    mend_head(&packet, false);
    assert_string_equal(read_as("a.b", true), "2001:db8::1 60");
}

static void codes_and_flags(void **state)
{
    (void)state;
    begin("a", 1);
    put_address(&packet, NULL, "192.0.2.1", 60);
    packet.code = 3;
    assert_string_equal(reading("a"), "no name");
    packet.code = 2;
    assert_string_equal(reading("a"), "failed");
    packet.code = 0;
    mend_head(&packet, false);
    packet.bytes[2] &= 0x7f; // a question
    assert_string_equal(read_as("a", false), "failed");
    mend_head(&packet, false);
    packet.bytes[5] = 0; // no question inside
    assert_string_equal(read_as("a", false), "failed");
    packet.bytes[5] = 2;
    assert_string_equal(read_as("a", false), "failed");
}

static void chains_in_any_order(void **state)
{
    (void)state;
    begin("a", 1);
    put_address(&packet, "c", "192.0.2.1", 60);
    put_alias("b", "C", 40);
    put_alias(NULL, "b", 50);
    assert_string_equal(reading("a"), "192.0.2.1 <b> <c> 40");
    begin("a", 1);
    put_alias(NULL, "b", 50);
    assert_string_equal(reading("a"), "no data");
    put_alias("x", "y", 5); // of no concern
    put_address(&packet, "y", "192.0.2.1", 5);
    assert_string_equal(reading("a"), "no data");
    begin("a", 1);
    put_alias(NULL, "a", 50); // itself
    assert_string_equal(reading("a"), "failed");
}

static void odd_names_are_nobody(void **state)
{
    char name[260];

    (void)state;
    begin("a", 1);
    put_alias(NULL, "b c", 50);
    put_address(&packet, "b c", "192.0.2.1", 60);
    assert_string_equal(reading("a"), "no data");

    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[253] = '\0';
    begin("a", 1);
    put_alias(NULL, name, 50);
    put_address(&packet, name, "192.0.2.1", 60);
    assert_non_null(strstr(reading("a"), "192.0.2.1 <aaa"));
    name[253] = 'a';
    name[254] = '\0';
    begin("a", 1);
    put_alias(NULL, name, 50);
    put_address(&packet, name, "192.0.2.1", 60);
    put_address(&packet, NULL, "192.0.2.2", 60); // the reader stands right behind long names
    assert_string_equal(reading("a"), "no data");
    begin("a", 1);
    put_address(&packet, name, "192.0.2.1", 60);
    put_address(&packet, NULL, "192.0.2.2", 60);
    assert_string_equal(reading("a"), "192.0.2.2 60");
}

static void times_to_live(void **state)
{
    (void)state;
    begin("a", 1);
    put_address(&packet, NULL, "192.0.2.1", 0x7fffffff);
    assert_string_equal(reading("a"), "192.0.2.1 2147483647");
    put_address(&packet, NULL, "192.0.2.2", 0x80000000); // RFC 2181 section 8
    assert_string_equal(reading("a"), "192.0.2.1 192.0.2.2 0");
}

/* A record whose owner is a chain of pointers, each to the one before. */
static void put_pointers(unsigned count)
{
    size_t first = packet.size + 10 + 2;

    put_record(&packet, NULL, 16, 60, NULL, 0); // a text record to hold them
    packet.size -= 2;
    put_number(&packet, 2ul * count, 2);
    for (unsigned i = 0; i < count; i++)
        put_number(&packet, i == 0 ? 0xc00c : 0xc000 | (first + 2ul * (i - 1)), 2);
    put_number(&packet, 0xc000 | (first + 2ul * (count - 1)), 2); // the owner
    put_number(&packet, 1, 2);
    put_number(&packet, 1, 2);
    put_number(&packet, 60, 4);
    put_number(&packet, 4, 2);
    put(&packet, "\xc0\x00\x02\x01", 4);
    packet.count++;
}

static void pointers_have_a_limit(void **state)
{
    (void)state;
    begin("a", 1);
    put_pointers(31); // 32 jumps with the owner's own
    assert_string_equal(reading("a"), "192.0.2.1 60");
    begin("a", 1);
    put_pointers(32);
    assert_string_equal(reading("a"), "failed");
}

static void pointers_do_not_go_forward(void **state)
{
    size_t here;

    (void)state;
    for (int ahead = 0; ahead <= 2; ahead += 2) {
        begin("a", 1);
        here = packet.size;
        put_number(&packet, 0xc000 | (here + (size_t)ahead), 2);
        put_number(&packet, 0, 10);
        packet.count = 1;
        assert_string_equal(reading("a"), "failed");
    }
}

static void records_have_a_limit(void **state)
{
    (void)state;
    for (unsigned others = DNS_RECORDS - 1; others <= DNS_RECORDS; others++) {
        begin("a", 1);
        for (unsigned i = 0; i < others; i++)
            put_address(&packet, "x", "192.0.2.9", 60);
        put_address(&packet, NULL, "192.0.2.1", 60);
        assert_string_equal(reading("a"), others < DNS_RECORDS ? "192.0.2.1 60" : "no data");
    }
}

static void a_packet_may_end_anywhere(void **state)
{
    size_t whole;

    (void)state;
    begin("a.example", 1);
    put_alias(NULL, "b.example", 60);
    put_address(&packet, "b.example", "192.0.2.1", 60);
    put_address(&packet, "b.example", "192.0.2.2", 60);
    mend_head(&packet, false);
    whole = packet.size;
    for (size_t size = 0; size < whole; size++) {
        const char *got;

        packet.size = size;
        got = read_as("a.example", false);
        if (strcmp(got, "failed") != 0 && strcmp(got, "192.0.2.1 <b.example> 60") != 0)
            fail_msg("%zu bytes: %s", size, got);
    }
    packet.size = whole;
    assert_string_equal(read_as("a.example", false), "192.0.2.1 192.0.2.2 <b.example> 60");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_answers),
        cmocka_unit_test(codes_and_flags),
        cmocka_unit_test(chains_in_any_order),
        cmocka_unit_test(odd_names_are_nobody),
        cmocka_unit_test(times_to_live),
        cmocka_unit_test(pointers_have_a_limit),
        cmocka_unit_test(pointers_do_not_go_forward),
        cmocka_unit_test(records_have_a_limit),
        cmocka_unit_test(a_packet_may_end_anywhere),
    };
    return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
