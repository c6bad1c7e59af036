/* The protocol machine: each row whole, byte by byte and cut at random tells the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../http1_trace.h"
#include "http/octets.h"

#define R "GET http://a/ HTTP/1.1\r\nHost: a\r\n"
#define P "POST http://a/ HTTP/1.1\r\nHost: a\r\n"
#define C P "Transfer-Encoding: chunked\r\n\r\n"
#define S "HTTP/1.1 200 OK\r\n"
#define SC S "Transfer-Encoding: chunked\r\n\r\n"

struct row {
    const char *name;
    struct span bytes;
    const char *want; // brief, see http1_trace.h
};
#define ROW(name, bytes, want) { name, { bytes, sizeof(bytes) - 1 }, want }

static const struct row requests[] = {
    ROW("plain", R "\r\n", "none end"),
    ROW("two in a row", R "\r\n" R "\r\n", "none end none end"),
    ROW("length", P "Content-Length: 5\r\n\r\nhello", "length=5 hello end"),
    ROW("chunked", C "5\r\nhello\r\n0\r\n\r\n", "chunked hello end"),
};

static const struct row responses[] = {
    ROW("length", S "Content-Length: 5\r\n\r\nhello", "length=5 hello end"),
    ROW("until close", S "\r\nhello", "until-close,close hello end"),
};

static void check_cut(const struct row *row, enum phases_side side, enum method answers,
                      size_t piece, unsigned seed, bool pauses, const struct trace *whole)
{
    struct trace trace;

    trace_open(&trace, side, answers);
    trace.pauses = pauses;
    trace_run(&trace, row->bytes, piece, seed, true);
    if (!span_equal(buffer_span(&trace.full), buffer_span(&whole->full)))
        fail_msg("%s: cut by %zu, seed %u, pauses %d\n%.*s\n-- is not --\n%.*s", row->name, piece,
                 seed, pauses, SPAN_PRINT(buffer_span(&trace.full)),
                 SPAN_PRINT(buffer_span(&whole->full)));
    trace_close(&trace);
}

static void check_row(const struct row *row, enum phases_side side, enum method answers)
{
    struct trace whole;

    trace_open(&whole, side, answers);
    trace_run(&whole, row->bytes, 0, 0, true);
    if (!span_equal(buffer_span(&whole.brief), span_text(row->want)))
        fail_msg("%s: wanted \"%s\", got \"%.*s\"\n%.*s", row->name, row->want,
                 SPAN_PRINT(buffer_span(&whole.brief)), SPAN_PRINT(buffer_span(&whole.full)));
    check_cut(row, side, answers, 0, 0, true, &whole);
    check_cut(row, side, answers, 1, 0, false, &whole);
    check_cut(row, side, answers, 1, 0, true, &whole);
    for (unsigned seed = 1; seed < 8; seed++)
        check_cut(row, side, answers, 4 << seed, seed * 7919, seed & 1, &whole);
    trace_close(&whole);
}

static void requests_are_told_alike_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        check_row(&requests[i], SIDE_BROWSER, METHOD_OTHER);
}

static void responses_are_told_alike_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
        check_row(&responses[i], SIDE_OUTGOING, METHOD_GET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_told_alike_however_cut),
        cmocka_unit_test(responses_are_told_alike_however_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
