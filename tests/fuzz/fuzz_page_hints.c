/*
 * Link fields: what nothing stops stays to the byte; what is left is asked again and stays.
 *
 * The input: a byte for what is stopped, then fields, each to a zero byte.
 */
#include <stdlib.h>

#include "proxy/page_hints.h"

enum { FIELDS_READ = 16 };

struct stopped {
    unsigned way;
    unsigned count;
};

/* Some URLs, by their bytes. */
static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only)
{
    struct stopped *stopped = owner;
    unsigned sum = type + is_host_only;

    for (size_t i = 0; i < url.size; i++)
        sum += (unsigned char)url.at[i];
    if (stopped->way == 0 || sum % 4 >= stopped->way % 4)
        return false;
    stopped->count++;
    return true;
}

static void join(const struct message *message, struct buffer *to)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (!buffer_append(to, message->fields[i].value) || !buffer_append(to, SPAN("\n")))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena arena;
    struct message message;
    struct buffer before = { .limit_bytes = 1 << 20 }, once = before, twice = before;
    struct stopped stopped = { 0 };
    struct span left;

    if (size < 1)
        return 0;
    stopped.way = bytes[0];
    arena_init(&arena, 1 << 20);
    message_init(&message, &arena, false);
    left = span_of((const char *)bytes + 1, size - 1);
    for (int i = 0; i < FIELDS_READ && left.size; i++) {
        size_t end = span_find(left, SPAN("\0"));

        if (!message_add(&message, SPAN("Link"), span_slice(left, 0, end)))
            break;
        left = span_from(left, end < left.size ? end + 1 : end);
    }
    join(&message, &before);
    page_hints_filter(&message, SPAN("https://a.example/b/c?d"), is_stopped, &stopped);
    join(&message, &once);
    if (stopped.count == 0 && !span_equal(buffer_span(&once), buffer_span(&before)))
        abort();
    if (stopped.count > 0 && once.size >= before.size)
        abort();
    stopped.count = 0;
    page_hints_filter(&message, SPAN("https://a.example/b/c?d"), is_stopped, &stopped);
    join(&message, &twice);
    if (stopped.count > 0 || !span_equal(buffer_span(&twice), buffer_span(&once)))
        abort();
    buffer_release(&before);
    buffer_release(&once);
    buffer_release(&twice);
    arena_done(&arena);
    return 0;
}
