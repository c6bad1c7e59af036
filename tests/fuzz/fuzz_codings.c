/* Text in two codings, done by us: undone, it is the text again. And any bytes as two codings. The
 * first byte says which. */
#include "coding_fuzz.h"

static struct buffer encode(enum coding coding, struct span text, size_t step)
{
    struct coding_memory memory = { 0, 64 * 1024 * 1024 };
    struct encoder *encoder = encoder_new(coding, &memory);
    struct buffer out = { .limit_bytes = 64 * CODING_FUZZ_BYTES };
    size_t made, room = 17 * step;
    bool is_last = false;

    while (!is_last) {
        struct span in = span_slice(text, 0, text.size < step ? text.size : step);

        text = span_from(text, in.size);
        is_last = text.size == 0;
        do {
            enum encoder_order order = is_last         ? ENCODER_FINISH
                                       : text.size % 3 ? ENCODER_GO_ON
                                                       : ENCODER_FLUSH;
            coding_fuzz_check(buffer_reserve(&out, room));
            encoder_run(encoder, &in, order, out.at + out.size, room, &made);
            out.size += made;
        } while (made == room);
        coding_fuzz_check(in.size == 0);
    }
    encoder_free(&encoder);
    coding_fuzz_check(memory.used_bytes == 0);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const fields[] = { "gzip, br", "br, zstd", "zstd, deflate", "deflate,gzip" };
    struct codings codings = { .count = CODING_STACK };
    struct buffer first, both, again = { .limit_bytes = 64 * CODING_FUZZ_BYTES };
    struct span text;

    if (size < 1)
        return 0;
    text = span_of((const char *)data + 1, size - 1);
    codings.items[0] = data[0] % CODINGS;
    codings.items[1] = data[0] / CODINGS % CODINGS;
    first = encode(codings.items[0], text, 1 + data[0] % 7);
    both = encode(codings.items[1], buffer_span(&first), 1 + data[0] % 5);
    coding_fuzz_check(
        coding_fuzz_undo(&codings, buffer_span(&both), 1 + data[0] % 11, 100, &again) == 0);
    coding_fuzz_check(span_equal(buffer_span(&again), text));
    buffer_release(&first);
    buffer_release(&both);
    buffer_release(&again);
    return coding_fuzz(fields[data[0] % 4], data, size);
}
