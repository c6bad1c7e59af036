/*
 * URLs for fetches: as somebody gave them, then a reference from there. What must hold for all
 * bytes: what is taken is http or https with a host, is printable ASCII without user information
 * or fragment, and is itself again when it is taken once more. The two are divided by a line feed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxy/place.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check(const struct place *place, struct arena *arena)
{
    struct place again;
    size_t host = place->target.scheme == TARGET_HTTPS ? 8 : 7;

    CHECK(place->url.size <= PLACE_URL_BYTES);
    CHECK(span_starts(place->url, host == 8 ? SPAN("https://") : SPAN("http://")));
    for (size_t i = 0; i < place->url.size; i++)
        CHECK(place->url.at[i] > ' ' && place->url.at[i] < 0x7f && place->url.at[i] != '#');
    for (size_t i = host; i < place->url.size && place->url.at[i] != '/'; i++)
        CHECK(place->url.at[i] != '@');
    CHECK(place->target.host.size > 0 && place->target.port > 0);
    CHECK(place->target.path_and_query.at[0] == '/');
    if (place->url.size > PLACE_URL_BYTES - 8) // what is given may be a little shorter
        return;
    CHECK(place_read(&again, arena, place->url, NULL, NULL) == ERROR_NONE);
    CHECK(span_equal(again.url, place->url));
    CHECK(place_same_origin(&again, place) && !again.authorization.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span text = span_of((const char *)bytes, size);
    size_t line = span_find_byte(text, '\n');
    struct place first, second;
    struct arena arena;

    if (size == 0)
        return 0;
    arena_init(&arena, 1 << 20);
    if (place_read(&first, &arena, span_slice(text, 0, line), NULL, NULL) == ERROR_NONE) {
        check(&first, &arena);
        if (line < size &&
            place_read(&second, &arena, span_from(text, line + 1), &first, NULL) == ERROR_NONE) {
            check(&second, &arena);
            CHECK(!second.authorization.at);
        }
    }
    arena_done(&arena);
    return 0;
}
