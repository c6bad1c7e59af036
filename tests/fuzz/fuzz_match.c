/* Rules and requests made up by the input's bytes: the engine and a matcher without an index say
 * the same (naive_match.h). */
#include <stddef.h>
#include <stdint.h>

#include "../naive_cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[1];
    struct chooser chooser = { .at = size ? data : nothing, .end = size ? data + size : nothing };
    unsigned hits = 0;

    if (compare_once(&chooser, &hits) == 0)
        abort();
    return 0;
}
