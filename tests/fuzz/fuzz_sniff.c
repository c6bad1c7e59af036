/* Starts of bodies: what is told of a part is told of all of it. The first byte is whether it is a
 * visit. */
#include <stdlib.h>

#include "html/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span start;
    enum sniff whole, told = SNIFF_MORE;
    bool is_visit;

    if (size < 1)
        return 0;
    is_visit = bytes[0] & 1;
    start = span_of((const char *)bytes + 1, size - 1);
    whole = sniff_page(start, true, true, is_visit);
    if (whole == SNIFF_MORE || sniff_page(start, true, false, is_visit) == SNIFF_MORE)
        abort();
    for (size_t i = 0; i <= start.size && i <= 300; i++) {
        enum sniff now = sniff_page(span_slice(start, 0, i), false, false, is_visit);

        if (told != SNIFF_MORE && now != told)
            abort();
        told = now;
    }
    if (told != SNIFF_MORE && told != whole)
        abort();
    return 0;
}
