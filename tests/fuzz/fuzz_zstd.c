/* Any bytes as zstd: whole and in pieces must come to the same. */
#include "coding_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return coding_fuzz("zstd", data, size);
}
