/* Any bytes as the start of a tunnel: whole and in pieces must tell the same. The first byte of
 * the input says how it is cut. */
#include <stdlib.h>

#include "trust/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static enum hello_progress feed(struct hello_collector *collector, struct span bytes, size_t step)
{
    enum hello_progress progress = HELLO_MORE;

    hello_collector_init(collector);
    while (bytes.size) {
        size_t now = bytes.size < step ? bytes.size : step;

        if (now > hello_room(collector))
            now = hello_room(collector);
        if (now == 0)
            break;
        progress = hello_feed(collector, span_slice(bytes, 0, now), NULL);
        bytes = span_from(bytes, now);
    }
    return progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello_collector whole, pieces;
    struct span bytes = span_of((const char *)data, size);
    enum hello_progress a, b;

    if (size < 1)
        return 0;
    bytes = span_from(bytes, 1);
    hello_classify(bytes);
    a = feed(&whole, bytes, HELLO_LIMIT_BYTES);
    b = feed(&pieces, bytes, 1 + data[0]);
    check(a == b);
    check(whole.kept.size == pieces.kept.size);
    if (a == HELLO_WHOLE) {
        check(whole.hello.family == pieces.hello.family && whole.hello.family != 0);
        check(strcmp(whole.hello.server_name, pieces.hello.server_name) == 0);
        check(span_equal(whole.hello.protocols, pieces.hello.protocols));
        hello_offers(&whole.hello, SPAN("h2"));
    }
    hello_collector_done(&whole);
    hello_collector_done(&pieces);
    return 0;
}
