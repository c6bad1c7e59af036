/*
 * What the kit of hostile HTTP/1 messages sends, through the machine alone: what must be refused
 * is not accepted, what must be forwarded is, and what is accepted could be written again.
 * Skipped where the kit is missing (DEJUNK_SHARED). Cases whose outcome is decided by policy,
 * connecting or timing are left to its own driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../http1_trace.h"
#include "http/target.h"

/* ---- as much JSON as the kit has ---- */

static struct span skip_space(struct span text)
{
    while (text.size && strchr(" \t\r\n,:", text.at[0]))
        text = span_from(text, 1);
    return text;
}

/* A string's end, behind its quote. */
static size_t string_size(struct span text)
{
    for (size_t i = 1; i < text.size; i++) {
        if (text.at[i] == '"')
            return i + 1;
        if (text.at[i] == '\\')
            i++;
    }
    return text.size;
}

/* Any value's end. */
static size_t value_size(struct span text)
{
    size_t depth = 0, i = 0;

    do {
        if (text.at[i] == '"') {
            i += string_size(span_from(text, i));
            continue;
        }
        if (text.at[i] == '{' || text.at[i] == '[')
            depth++;
        else if (text.at[i] == '}' || text.at[i] == ']')
            depth--;
        i++;
    } while (i < text.size && (depth > 0 || !strchr(",}] \r\n", text.at[i])));
    return i;
}

/* The value of `key` in an object, SPAN_NONE when it is not there. */
static struct span member(struct span object, const char *key)
{
    struct span text = skip_space(span_from(object, 1));

    while (text.size && text.at[0] == '"') {
        struct span name = span_slice(text, 0, string_size(text)), value;

        text = skip_space(span_from(text, name.size));
        value = span_slice(text, 0, value_size(text));
        if (span_equal(span_slice(name, 1, name.size - 2), span_text(key)))
            return value;
        text = skip_space(span_from(text, value.size));
    }
    return SPAN_NONE;
}

/* Cuts the next value off an array; false at its end. */
static bool next_value(struct span *array, struct span *value)
{
    if (array->size && array->at[0] == '[')
        *array = span_from(*array, 1);
    *array = skip_space(*array);
    if (array->size == 0 || array->at[0] == ']')
        return false;
    *value = span_slice(*array, 0, value_size(*array));
    *array = span_from(*array, value->size);
    return true;
}

static bool array_has(struct span array, const char *text)
{
    struct span value;

    while (array.at && next_value(&array, &value))
        if (value.size >= 2 && span_equal(span_slice(value, 1, value.size - 2), span_text(text)))
            return true;
    return false;
}

/* Bytes are strings of code points below 256. */
static void append_string(struct buffer *out, struct span string)
{
    for (size_t i = 1; i + 1 < string.size; i++) {
        char c = string.at[i], digits[5] = "";

        if (c == '\\') {
            static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
            const char *known;

            c = string.at[++i];
            known = strchr(from, c);
            if (c == 'u') {
                memcpy(digits, string.at + i + 1, 4);
                c = (char)strtoul(digits, NULL, 16);
                i += 4;
            } else if (known) {
                c = to[known - from];
            }
        }
        assert_true(buffer_append(out, span_of(&c, 1)));
    }
}

/* Joins what a "send" or "resp" list has: {"bytes": "..."}, and steps that are not bytes. */
static bool append_bytes(struct buffer *out, struct span list)
{
    struct span value;

    while (next_value(&list, &value)) {
        if (value.at[0] == '{')
            append_string(out, member(value, "bytes"));
        else if (value.at[0] == '[')
            return false; // waits, half-closes and resets are the driver's
    }
    return true;
}

static bool read_kit(struct buffer *out)
{
    const char *shared = getenv("DEJUNK_SHARED");
    char path[4096], bytes[65536];
    size_t size;
    FILE *file;

    snprintf(path, sizeof path, "%s/kits/http1/cases.json", shared ? shared : "../shared");
    file = fopen(path, "rb");
    if (!file)
        return false;
    while ((size = fread(bytes, 1, sizeof bytes, file)) > 0)
        assert_true(buffer_append(out, span_of(bytes, size)));
    fclose(file);
    return true;
}

/* ---- requests ---- */

struct outcome {
    struct trace trace;
    size_t forwarded; // requests that a proxy would have sent on
    size_t smuggled;  // of these, with a target that should never be one
};

static void on_request(struct trace *trace)
{
    struct outcome *outcome = (struct outcome *)trace;
    const struct message *message = &trace->message;
    struct target target;

    if (message->target_form == TARGET_ORIGIN || message->target_form == TARGET_ASTERISK ||
        target_split(&target, message, NULL) != ERROR_NONE)
        return;
    outcome->forwarded++;
    outcome->smuggled += span_find(message->target, SPAN("smuggled")) < message->target.size;
}

static void check_request(struct span id, struct span sent, struct span expect, size_t piece)
{
    struct outcome outcome = { 0 };
    bool may_reject = array_has(expect, "reject");
    bool may_forward = array_has(expect, "forward") || array_has(expect, "connect");

    trace_open(&outcome.trace, SIDE_BROWSER, METHOD_OTHER);
    outcome.trace.on_message = on_request;
    trace_run(&outcome.trace, sent, piece, 1, true);
    if (outcome.smuggled)
        fail_msg("%.*s: smuggled", SPAN_PRINT(id));
    if (may_reject && !may_forward && outcome.forwarded)
        fail_msg("%.*s: accepted, must be refused", SPAN_PRINT(id));
    if (may_forward && !may_reject && !outcome.forwarded)
        fail_msg("%.*s: refused, must be accepted: %.*s", SPAN_PRINT(id),
                 SPAN_PRINT(buffer_span(&outcome.trace.full)));
    trace_close(&outcome.trace);
}

/* Refused by policy or in connecting, not for their bytes. */
static bool is_policy(struct span id, struct span expect)
{
    static const char *const ids[] = { "\"connect/refused\"", "\"connect/canary\"",
                                       "\"connect/port-25\"" };

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (span_equal(id, span_text(ids[i])))
            return true;
    return span_starts(id, SPAN("\"ssrf/")) || array_has(expect, "local");
}

/* ---- responses ---- */

/* "abort", or "deliver:" with the body: as the kit says it of a proxy that passes all on. */
static void check_response(struct span id, struct span bytes, struct span object, size_t piece)
{
    struct buffer got = { .limit_bytes = 1 << 24 };
    struct span wanted = member(object, "out");
    enum method answers = array_has(member(object, "methods"), "HEAD") ? METHOD_HEAD : METHOD_GET;
    struct trace trace;
    size_t body;

    trace_open(&trace, SIDE_OUTGOING, answers);
    trace_run(&trace, bytes, piece, 1, true);
    if (trace.messages == 0 || trace.message.is_upgrade) {
        buffer_append(&got, SPAN("abort"));
    } else { // brief is "framing body end": only the first message is the answer
        struct span brief = buffer_span(&trace.brief);

        buffer_append(&got, SPAN("deliver:"));
        while (brief.size && brief.at[0] >= '1' && brief.at[0] <= '9') // interim ones
            brief = span_from(brief, 4);
        body = span_find_byte(brief, ' ') + 1;
        brief = span_from(brief, body < brief.size ? body : brief.size);
        buffer_append(&got, span_slice(brief, 0, span_find_byte(brief, ' ')));
        if (span_equal(buffer_span(&got), SPAN("deliver:end")))
            got.size -= 3; // no body
    }
    got.at[got.size < got.capacity ? got.size : got.capacity - 1] = '\0';
    if (!array_has(wanted, got.at) &&
        !(span_starts(buffer_span(&got), SPAN("deliver:")) && array_has(wanted, "deliver:*")))
        fail_msg("%.*s: %s, wanted %.*s", SPAN_PRINT(id), got.at, SPAN_PRINT(wanted));
    buffer_release(&got);
    trace_close(&trace);
}

static void the_kit_is_judged_as_it_asks(void **state)
{
    struct buffer json = { .limit_bytes = 64 << 20 }, bytes = { .limit_bytes = 8 << 20 };
    struct span list, object;
    size_t requests = 0, responses = 0;

    (void)state;
    if (!read_kit(&json)) {
        print_message("no kits/http1/cases.json under DEJUNK_SHARED: skipped\n");
        skip();
    }
    list = buffer_span(&json);
    while (next_value(&list, &object)) {
        struct span id = member(object, "id"), expect = member(object, "expect");
        bool is_response = member(object, "resp").at != NULL;

        bytes.size = 0;
        if (member(object, "special").at || (expect.at && is_policy(id, expect)) ||
            !append_bytes(&bytes, member(object, is_response ? "resp" : "send")) || !bytes.size)
            continue;
        for (size_t piece = 0; piece < 3; piece += 2)
            if (is_response)
                check_response(id, buffer_span(&bytes), object, piece);
            else
                check_request(id, buffer_span(&bytes), expect, piece);
        *(is_response ? &responses : &requests) += 1;
    }
    print_message("%zu requests, %zu responses\n", requests, responses);
    assert_true(requests > 0 && responses > 0);
    buffer_release(&json);
    buffer_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kit_is_judged_as_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
