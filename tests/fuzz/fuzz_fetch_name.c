/*
 * File names from URLs. What must hold for all bytes: a name is one component of a path, is not
 * hidden, has no controls, and is short enough; and so are the others that are tried after it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/fetch_name.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check(const char *name, size_t most)
{
    size_t size = strlen(name);

    CHECK(size > 0 && size <= most);
    CHECK(name[0] != '.' && name[0] != '-' && name[0] != '~' && name[0] != ' ');
    CHECK(name[size - 1] != '.' && name[size - 1] != ' ');
    for (size_t i = 0; i < size; i++)
        CHECK((unsigned char)name[i] >= 0x20 && name[i] != 0x7f && !strchr("/\\<>:\"|?*", name[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span text = span_of((const char *)bytes, size);
    char name[FETCH_NAME_ROOM], tried[FETCH_NAME_ROOM];

    if (size == 0)
        return 0;
    CHECK(fetch_name_of(name, text) == strlen(name));
    check(name, FETCH_NAME_BYTES);
    for (unsigned number = 0; number < FETCH_NAME_TRIES; number++) {
        fetch_name_try(tried, name, number, text);
        check(tried, FETCH_NAME_BYTES + 24);
    }
    return 0;
}
