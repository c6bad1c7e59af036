/* What was learned, as text and as packets: never a crash; what is taken is written and read again
 * to the same, and goes on being so after an event. */
#include <assert.h>
#include <stdlib.h>

#include "proxy/learned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t now_ms = UINT64_C(1700000000000);

static void write_again(const struct learned *learned)
{
    struct buffer first = { .limit_bytes = LEARNED_TEXT_BYTES }, second = first;
    struct learned *copy = learned_new();
    struct error error;

    assert(learned_write(learned, &first));
    assert(learned_read(copy, buffer_span(&first), &error) == ERROR_NONE);
    assert(learned_write(copy, &second));
    assert(span_equal(buffer_span(&first), buffer_span(&second)));
    learned_free(&copy);
    buffer_release(&first);
    buffer_release(&second);
}

static void take_packet(struct learned *learned, struct span packet)
{
    struct learned_event event;
    struct learned_outcome outcome;
    char again[LEARNED_PACKET_BYTES];

    if (learned_decode(&event, packet, NULL) != ERROR_NONE)
        return;
    assert(learned_encode(again, &event) == packet.size);
    assert(span_equal(span_of(again, packet.size), packet));
    // from a worker, so not checked before
    learned_note(learned, &event, now_ms, &outcome);
    assert(outcome.has_changed || (!outcome.has_tunnel && !outcome.has_ended));
    assert(!event.is_blocked || !outcome.has_tunnel);
    if (outcome.has_tunnel)
        assert(learned_has_tunnel(learned, &event.who, now_ms));
}

/* A text, then, behind a NUL, packets behind their sizes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size);
    size_t end = span_find_byte(rest, '\0');
    struct learned *learned = learned_new();
    struct error error;

    learned_read(learned, span_slice(rest, 0, end), &error);
    write_again(learned);
    rest = end < rest.size ? span_from(rest, end + 1) : SPAN_NONE;
    while (rest.size > 0) {
        size_t packet = (unsigned char)rest.at[0];

        rest = span_from(rest, 1);
        if (packet > rest.size)
            packet = rest.size;
        take_packet(learned, span_slice(rest, 0, packet));
        rest = span_from(rest, packet);
    }
    learned_expire(learned, now_ms);
    write_again(learned);
    learned_free(&learned);
    return 0;
}
