/*
 * fuzz_config.c - any text as a config: it gives a config or an error with a source and a line.
 *
 * The input is one source, or two with a NUL between them. What was taken once must be taken
 * again and come to the same, as the worker depends on it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_error(const struct error *error)
{
    const char *rest = error->text + 2;

    assert(error->kind == ERROR_CONFIG);
    assert(strncmp(error->text, "a:", 2) == 0 || strncmp(error->text, "b:", 2) == 0);
    assert(*rest >= '1' && *rest <= '9');
    rest += strspn(rest, "0123456789");
    assert(strncmp(rest, ": ", 2) == 0 && rest[2]);
    for (const char *c = error->text; *c; c++)
        assert((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span text = span_of((const char *)bytes, size);
    size_t cut = span_find_byte(text, '\0');
    struct config_source items[2] = { { SPAN("a"), span_slice(text, 0, cut) } };
    struct config_sources sources = { .items = items, .count = 1 };
    struct config *config = NULL, *again = NULL;
    struct error error;

    if (cut < size)
        items[sources.count++] = (struct config_source){ SPAN("b"), span_from(text, cut + 1) };
    if (config_parse(&config, &sources, &error)) {
        assert(!config);
        check_error(&error);
        return 0;
    }
    assert(config_parse(&again, &sources, &error) == ERROR_NONE);
    assert(config->arena.used_bytes == again->arena.used_bytes);
    assert(config->listen.count == again->listen.count);
    assert(config->site_count == again->site_count);
    config_unref(&config);
    config_unref(&again);
    return 0;
}
