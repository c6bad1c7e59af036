/* Any bytes as gzip: whole and in pieces must come to the same. */
#include "coding_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return coding_fuzz("gzip", data, size);
}
