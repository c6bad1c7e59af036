/* The signer's protocol: what is well-formed, what is refused, how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "trust/sign.h"

static struct sign_request good_request(void)
{
    struct sign_request request = { .number = 0x12345678,
                                    .lifetime_s = SIGN_LIFETIME_S,
                                    .usages = SIGN_FOR_SERVERS,
                                    .key = { 4 },
                                    .name_count = 2 };

    request.names[0] = (struct sign_name){ HOSTNAME_NAME, SPAN("a.example") };
    request.names[1] = (struct sign_name){ HOSTNAME_ADDRESS, SPAN("\x7f\0\0\1") };
    return request;
}

static void comes_through_as_it_was(void **state)
{
    struct sign_request request = good_request(), got;
    struct sign_answer answer = { 7, SIGN_DONE, SPAN("DER") }, got_answer;
    char packet[SIGN_REQUEST_BYTES], reply[SIGN_ANSWER_BYTES];
    size_t size = sign_encode_request(packet, &request);
    (void)state;

    assert_int_equal(sign_decode_request(&got, span_of(packet, size), NULL), ERROR_NONE);
    assert_int_equal(got.number, request.number);
    assert_int_equal(got.lifetime_s, request.lifetime_s);
    assert_int_equal(got.usages, request.usages);
    assert_int_equal(got.is_authority, request.is_authority);
    assert_memory_equal(got.key, request.key, SIGN_KEY_BYTES);
    assert_int_equal(got.name_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(got.names[i].kind, request.names[i].kind);
        assert_true(span_equal(got.names[i].bytes, request.names[i].bytes));
    }
    size = sign_encode_answer(reply, &answer);
    assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, size), NULL), ERROR_NONE);
    assert_int_equal(got_answer.number, 7);
    assert_true(span_equal(got_answer.certificate, SPAN("DER")));
    answer.outcome = SIGN_RATE; // with no certificate then
    size = sign_encode_answer(reply, &answer);
    assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, size), NULL), ERROR_NONE);
    assert_int_equal(got_answer.certificate.size, 0);
}

/* Cut anywhere, longer by one, or with one byte changed where it says how it is built. */
static void malformed_packets_are_refused_whole(void **state)
{
    struct sign_request request = good_request(), got;
    struct sign_answer answer = { 7, SIGN_DONE, SPAN("DER") }, got_answer;
    char packet[SIGN_REQUEST_BYTES + 1] = { 0 }, reply[SIGN_ANSWER_BYTES + 1] = { 0 };
    size_t size = sign_encode_request(packet, &request), answer_size;
    struct error error;
    static const struct {
        size_t at;
        int value;
    } changes[] = {
        { 0, 'x' },              // magic
        { 4, 2 },                // type
        { 14, 2 },               // is_authority: neither yes nor no
        { 80, 3 },               // more names than there are
        { 80, 1 },               // fewer
        { 80, 101 },             // more than may be
        { 81, 0 },               // a kind of name
        { 81, 3 },   { 82, 10 }, // its size
    };
    (void)state;

    for (size_t i = 0; i < size; i++)
        assert_int_equal(sign_decode_request(&got, span_of(packet, i), &error), ERROR_SYNTAX);
    assert_int_equal(sign_decode_request(&got, span_of(packet, size + 1), &error), ERROR_SYNTAX);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char kept = packet[changes[i].at];

        packet[changes[i].at] = (char)changes[i].value;
        if (sign_decode_request(&got, span_of(packet, size), &error) != ERROR_SYNTAX)
            fail_msg("byte %zu as %d", changes[i].at, changes[i].value);
        packet[changes[i].at] = kept;
    }
    answer_size = sign_encode_answer(reply, &answer);
    for (size_t i = 0; i < answer_size; i++)
        assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, i), &error), ERROR_SYNTAX);
    assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, answer_size + 1), &error),
                     ERROR_SYNTAX);
    reply[9] = SIGN_OUTCOME_COUNT;
    assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, answer_size), &error),
                     ERROR_SYNTAX);
    reply[9] = SIGN_RATE; // refused, and yet a certificate
    assert_int_equal(sign_decode_answer(&got_answer, span_of(reply, answer_size), &error),
                     ERROR_SYNTAX);
    // Each other's packets.
    assert_int_equal(sign_decode_answer(&got_answer, span_of(packet, size), &error), ERROR_SYNTAX);
}

static void refuses_what_no_worker_needs(void **state)
{
    static const struct {
        const char *name;
        uint32_t lifetime_s;
        uint8_t usages;
        bool is_authority;
        unsigned char key;
        struct sign_name item;
        enum sign_outcome want;
    } rows[] = {
#define ITEM { HOSTNAME_NAME, { "a.example", 9 } }
        { "good", SIGN_LIFETIME_S, SIGN_FOR_SERVERS, false, 4, ITEM, SIGN_DONE },
        { "one second", 1, SIGN_FOR_SERVERS, false, 4, ITEM, SIGN_DONE },
        { "an authority", SIGN_LIFETIME_S, SIGN_FOR_SERVERS, true, 4, ITEM, SIGN_IS_AUTHORITY },
        { "7 days and a second", SIGN_LIFETIME_S + 1, SIGN_FOR_SERVERS, false, 4, ITEM,
          SIGN_TOO_LONG },
        { "10 years", 3650u * 86400, SIGN_FOR_SERVERS, false, 4, ITEM, SIGN_TOO_LONG },
        { "no time", 0, SIGN_FOR_SERVERS, false, 4, ITEM, SIGN_TOO_LONG },
        { "for clients", 100, SIGN_FOR_CLIENTS, false, 4, ITEM, SIGN_USAGE },
        { "for both", 100, SIGN_FOR_SERVERS | SIGN_FOR_CLIENTS, false, 4, ITEM, SIGN_USAGE },
        { "for nothing", 100, 0, false, 4, ITEM, SIGN_USAGE },
        { "for what is not known", 100, 0x81, false, 4, ITEM, SIGN_USAGE },
        { "compressed point", 100, SIGN_FOR_SERVERS, false, 2, ITEM, SIGN_KEY },
        { "wildcard",
          100,
          SIGN_FOR_SERVERS,
          false,
          4,
          { HOSTNAME_NAME, { "*.a.example", 11 } },
          SIGN_DONE },
        { "*", 100, SIGN_FOR_SERVERS, false, 4, { HOSTNAME_NAME, { "*", 1 } }, SIGN_NAME },
        { "*.com", 100, SIGN_FOR_SERVERS, false, 4, { HOSTNAME_NAME, { "*.com", 5 } }, SIGN_NAME },
        { "*.co.uk",
          100,
          SIGN_FOR_SERVERS,
          false,
          4,
          { HOSTNAME_NAME, { "*.co.uk", 7 } },
          SIGN_NAME },
        { "upper case",
          100,
          SIGN_FOR_SERVERS,
          false,
          4,
          { HOSTNAME_NAME, { "A.example", 9 } },
          SIGN_NAME },
        { "NUL", 100, SIGN_FOR_SERVERS, false, 4, { HOSTNAME_NAME, { "a\0b", 3 } }, SIGN_NAME },
        { "newline", 100, SIGN_FOR_SERVERS, false, 4, { HOSTNAME_NAME, { "a\n", 2 } }, SIGN_NAME },
        { "empty", 100, SIGN_FOR_SERVERS, false, 4, { HOSTNAME_NAME, { "", 0 } }, SIGN_NAME },
        { "IPv6",
          100,
          SIGN_FOR_SERVERS,
          false,
          4,
          { HOSTNAME_ADDRESS, { "0123456789abcdef", 16 } },
          SIGN_DONE },
        { "address of 5 bytes",
          100,
          SIGN_FOR_SERVERS,
          false,
          4,
          { HOSTNAME_ADDRESS, { "01234", 5 } },
          SIGN_NAME },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sign_request request = { .lifetime_s = rows[i].lifetime_s,
                                        .usages = rows[i].usages,
                                        .is_authority = rows[i].is_authority,
                                        .key = { rows[i].key },
                                        .name_count = 1 };

        request.names[0] = rows[i].item;
        if (sign_judge(&request) != rows[i].want)
            fail_msg("%s: %s", rows[i].name, sign_outcome_words(sign_judge(&request)));
        request.name_count = 0;
        assert_true(sign_judge(&request) != SIGN_DONE);
    }
}

static void names_end_at_their_limits(void **state)
{
    struct sign_request request = good_request(), got;
    char packet[SIGN_REQUEST_BYTES], names[SIGN_NAMES][HOSTNAME_BYTES];
    size_t size;
    (void)state;

    request.name_count = SIGN_NAMES;
    for (int i = 0; i < SIGN_NAMES; i++) {
        memset(names[i], 'a', HOSTNAME_BYTES - 1);
        for (int dot = 60; dot < HOSTNAME_BYTES - 1; dot += 60)
            names[i][dot] = '.';
        request.names[i] =
            (struct sign_name){ HOSTNAME_NAME, span_of(names[i], HOSTNAME_BYTES - 1) };
    }
    size = sign_encode_request(packet, &request);
    assert_int_equal(size, SIGN_REQUEST_BYTES);
    assert_int_equal(sign_decode_request(&got, span_of(packet, size), NULL), ERROR_NONE);
    assert_int_equal(sign_judge(&got), SIGN_DONE);
}

static void a_name_ends_at_its_limit(void **state)
{
    struct sign_request request = good_request(), got;
    char packet[SIGN_REQUEST_BYTES] = { 0 };
    size_t head = 9 + 4 + 1 + 1 + SIGN_KEY_BYTES + 1;
    (void)state;

    request.name_count = 1;
    sign_encode_request(packet, &request);
    for (int size = HOSTNAME_BYTES - 1; size <= HOSTNAME_BYTES; size++) {
        packet[head + 1] = (char)size;
        memset(packet + head + 2, 'a', (size_t)size);
        assert_int_equal(sign_decode_request(&got, span_of(packet, head + 2 + (size_t)size), NULL),
                         size < HOSTNAME_BYTES ? ERROR_NONE : ERROR_SYNTAX);
    }
}

static void the_rate_has_a_burst_and_a_pace(void **state)
{
    struct sign_limit limit;
    unsigned taken = 0;
    (void)state;

    sign_limit_init(&limit, SIGN_RATE_PER_S, SIGN_BURST, 1000);
    for (int i = 0; i < 600; i++)
        taken += sign_limit_take(&limit, 1000);
    assert_int_equal(taken, SIGN_BURST);
    for (int ms = 1; ms <= 2000; ms++)
        taken += sign_limit_take(&limit, 1000 + (uint64_t)ms);
    assert_int_equal(taken, SIGN_BURST + 2 * SIGN_RATE_PER_S);
    // A long rest fills it to the burst and no further; a clock that goes back gives nothing.
    taken = 0;
    for (int i = 0; i < 600; i++)
        taken += sign_limit_take(&limit, UINT64_MAX / 2);
    for (int i = 0; i < 600; i++)
        taken += sign_limit_take(&limit, 5);
    assert_int_equal(taken, SIGN_BURST);
    sign_limit_init(&limit, 0, 0, 0);
    for (int i = 0; i < 100000; i++)
        assert_true(sign_limit_take(&limit, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_through_as_it_was),
        cmocka_unit_test(malformed_packets_are_refused_whole),
        cmocka_unit_test(refuses_what_no_worker_needs),
        cmocka_unit_test(names_end_at_their_limits),
        cmocka_unit_test(a_name_ends_at_its_limit),
        cmocka_unit_test(the_rate_has_a_burst_and_a_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
