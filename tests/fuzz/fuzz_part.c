/* Any bytes as Content-Range: what is taken is a part that can be. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/part.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span value = span_of((const char *)data, size);
    struct part part = { 7, 8, 9 };
    uint64_t whole = 7;

    if (part_read(&part, value)) {
        assert(part.first <= part.last && part.last < part.whole);
        assert(!part_read_none(&whole, value));
    } else {
        assert(part.first == 7 && part.last == 8 && part.whole == 9);
    }
    return 0;
}
