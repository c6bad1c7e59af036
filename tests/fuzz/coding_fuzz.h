/*
 * coding_fuzz.h - for the fuzz targets of codings: any bytes, undone whole and in pieces.
 *
 * Both ways must end the same, and what comes out before the end must be the same as far as both
 * go. The first byte of the input says how it is cut.
 */
#ifndef DEJUNK_TESTS_CODING_FUZZ_H
#define DEJUNK_TESTS_CODING_FUZZ_H

#include <stdlib.h>

#include "http/coding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODING_FUZZ_BYTES = 1024 * 1024 }; // then it is stopped

static inline void coding_fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

static inline enum error_kind coding_fuzz_undo(const struct codings *codings, struct span bytes,
                                               size_t step, size_t room, struct buffer *out)
{
    struct coding_memory memory = { 0, 64 * 1024 * 1024 };
    struct decoder *decoder = decoder_new(codings, &memory);
    enum error_kind kind = ERROR_NONE;
    bool is_last = false;
    size_t made;

    while (!kind && !is_last) {
        struct span in = span_slice(bytes, 0, bytes.size < step ? bytes.size : step);

        bytes = span_from(bytes, in.size);
        is_last = bytes.size == 0;
        do {
            if (!buffer_reserve(out, room)) {
                decoder_free(&decoder);
                return ERROR_LIMIT;
            }
            kind = decoder_run(decoder, &in, is_last, out->at + out->size, room, &made, NULL);
            coding_fuzz_check(made <= room);
            out->size += made;
        } while (!kind && made == room);
        coding_fuzz_check(kind || in.size == 0);
    }
    decoder_free(&decoder);
    coding_fuzz_check(memory.used_bytes == 0);
    return kind;
}

static inline int coding_fuzz(const char *field, const uint8_t *data, size_t size)
{
    struct codings codings = { .count = 0 };
    struct buffer whole = { .limit_bytes = CODING_FUZZ_BYTES };
    struct buffer pieces = { .limit_bytes = CODING_FUZZ_BYTES };
    enum error_kind a, b;
    struct span bytes;
    size_t both;

    if (size < 1)
        return 0;
    bytes = span_of((const char *)data + 1, size - 1);
    coding_fuzz_check(codings_add(&codings, span_text(field)));
    a = coding_fuzz_undo(&codings, bytes, bytes.size + 1, 65536, &whole);
    b = coding_fuzz_undo(&codings, bytes, 1 + data[0] % 16, 1 + data[0] / 16 * 5, &pieces);
    coding_fuzz_check(a == b || a == ERROR_LIMIT || b == ERROR_LIMIT);
    both = whole.size < pieces.size ? whole.size : pieces.size;
    coding_fuzz_check(both == 0 || memcmp(whole.at, pieces.at, both) == 0);
    coding_fuzz_check(a || b || whole.size == pieces.size);
    buffer_release(&whole);
    buffer_release(&pieces);
    return 0;
}

#endif
