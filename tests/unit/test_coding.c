/* Codings: undone and done however the bytes are cut, and the ends that bodies come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "http/coding.h"

enum { MB = 1024 * 1024 };

static struct coding_memory memory = { 0, 64 * MB };

static unsigned long long seed = 1;

static size_t below(size_t limit)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (size_t)(seed >> 33) % limit;
}

/* Text that compresses as pages do. */
static struct buffer page(size_t size)
{
    static const char *const words[] = { "<p>", "</p>", "news ", "of ", "the ", "day ", "\n" };
    struct buffer out = { .limit_bytes = size };

    while (out.size < size) {
        struct span word = span_text(words[below(sizeof words / sizeof *words)]);
        if (!buffer_append(
                &out,
                span_slice(word, 0, word.size < size - out.size ? word.size : size - out.size)))
            break;
    }
    return out;
}

static struct buffer zeros(size_t size)
{
    struct buffer out = { .limit_bytes = size };

    if (size) {
        assert_true(buffer_reserve(&out, size));
        memset(out.at, 0, size);
        out.size = size;
    }
    return out;
}

/* ---- made by the libraries, not by us ---- */

static struct buffer by_zlib(struct span text, int window_bits)
{
    struct buffer out = { .limit_bytes = text.size + text.size / 10 + 1000 };
    z_stream z = { .zalloc = NULL };

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, 0), Z_OK);
    assert_true(buffer_reserve(&out, out.limit_bytes));
    z.next_in = (Bytef *)text.at;
    z.avail_in = (uInt)text.size;
    z.next_out = (Bytef *)out.at;
    z.avail_out = (uInt)out.limit_bytes;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.size = out.limit_bytes - z.avail_out;
    deflateEnd(&z);
    return out;
}

static struct buffer by_br(struct span text, int window_bits, bool is_large)
{
    struct buffer out = { .limit_bytes = text.size + 1000 };
    BrotliEncoderState *br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    const uint8_t *in = (const uint8_t *)text.at;
    size_t left = text.size, room = out.limit_bytes;
    uint8_t *to;

    assert_true(buffer_reserve(&out, out.limit_bytes));
    to = (uint8_t *)out.at;
    BrotliEncoderSetParameter(br, BROTLI_PARAM_QUALITY, 5);
    if (is_large)
        BrotliEncoderSetParameter(br, BROTLI_PARAM_LARGE_WINDOW, 1);
    assert_true(BrotliEncoderSetParameter(br, BROTLI_PARAM_LGWIN, (uint32_t)window_bits));
    assert_true(
        BrotliEncoderCompressStream(br, BROTLI_OPERATION_FINISH, &left, &in, &room, &to, NULL));
    assert_true(BrotliEncoderIsFinished(br));
    out.size = out.limit_bytes - room;
    BrotliEncoderDestroyInstance(br);
    return out;
}

static struct buffer by_zstd(struct span text, int window_bits)
{
    struct buffer out = { .limit_bytes = ZSTD_compressBound(text.size) };
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    ZSTD_inBuffer in = { text.at, text.size, 0 };
    ZSTD_outBuffer to;

    assert_true(buffer_reserve(&out, out.limit_bytes));
    to = (ZSTD_outBuffer){ out.at, out.limit_bytes, 0 };
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_bits);
    // Piecewise, so that the window is not made smaller to fit the text.
    while (ZSTD_compressStream2(zstd, &to, &in, ZSTD_e_flush))
        ;
    while (ZSTD_compressStream2(zstd, &to, &in, ZSTD_e_end))
        ;
    out.size = to.pos;
    ZSTD_freeCCtx(zstd);
    return out;
}

/* ---- undone ---- */

enum cut { WHOLE, BYTES, RANDOM, CUTS };
static const char *const cuts[] = { "whole", "byte by byte", "cut at random" };

struct outcome {
    enum error_kind kind;
    struct buffer out;
    struct error error;
};

static struct outcome undo(const char *field, struct span coded, enum cut cut)
{
    struct outcome outcome = { .out = { .limit_bytes = 200 * MB } };
    struct codings codings = { .count = 0 };
    struct decoder *decoder;
    bool is_last = false;

    assert_true(codings_add(&codings, span_text(field)));
    decoder = decoder_new(&codings, &memory);
    do {
        size_t take = cut == WHOLE ? coded.size : cut == BYTES ? 1 : below(3000);
        struct span in;
        size_t made, room;

        if (take > coded.size)
            take = coded.size;
        in = span_slice(coded, 0, take);
        coded = span_from(coded, take);
        is_last = coded.size == 0;
        do {
            room = cut == BYTES ? 1 + below(3) : cut == WHOLE ? 65536 : 1 + below(20000);
            assert_true(buffer_reserve(&outcome.out, room));
            outcome.kind = decoder_run(decoder, &in, is_last, outcome.out.at + outcome.out.size,
                                       room, &made, &outcome.error);
            assert_true(made <= room);
            outcome.out.size += made;
        } while (!outcome.kind && made == room);
        if (!outcome.kind && in.size)
            fail_msg("%zu bytes were left", in.size);
    } while (!outcome.kind && !is_last);
    decoder_free(&decoder);
    assert_int_equal(memory.used_bytes, 0);
    return outcome;
}

static void want(const char *name, const char *field, struct span coded, struct span text)
{
    for (enum cut cut = WHOLE; cut < CUTS; cut++) {
        struct outcome outcome = undo(field, coded, cut);
        if (outcome.kind || !span_equal(buffer_span(&outcome.out), text))
            fail_msg("%s, %s: %zu bytes, %s", name, cuts[cut], outcome.out.size,
                     outcome.kind ? outcome.error.text : "no error");
        buffer_release(&outcome.out);
    }
}

static void want_error(const char *name, const char *field, struct span coded, enum error_kind kind,
                       const char *text)
{
    for (enum cut cut = WHOLE; cut < CUTS; cut++) {
        struct outcome outcome = undo(field, coded, cut);
        if (outcome.kind != kind || strcmp(outcome.error.text, text) != 0)
            fail_msg("%s, %s: %s", name, cuts[cut], outcome.kind ? outcome.error.text : "no error");
        buffer_release(&outcome.out);
    }
}

static struct buffer code(const char *how, struct span text)
{
    if (strcmp(how, "gzip") == 0)
        return by_zlib(text, MAX_WBITS + 16);
    if (strcmp(how, "zlib") == 0)
        return by_zlib(text, MAX_WBITS);
    if (strcmp(how, "raw") == 0)
        return by_zlib(text, -MAX_WBITS);
    if (strcmp(how, "br") == 0)
        return by_br(text, 22, false);
    return by_zstd(text, 20);
}

static const struct {
    const char *how, *field;
} kinds[] = {
    { "gzip", "gzip" },   { "gzip", "X-GZip" }, { "zlib", "deflate" },
    { "raw", "deflate" }, { "br", "br" },       { "zstd", "zstd" },
};

static void undoes_what_libraries_make(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 1000, 100000 };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct buffer text = page(sizes[j]);
            struct buffer coded = code(kinds[i].how, buffer_span(&text));
            want(kinds[i].how, kinds[i].field, buffer_span(&coded), buffer_span(&text));
            buffer_release(&coded);
            buffer_release(&text);
        }
}

static void undoes_two_at_once(void **state)
{
    struct buffer text = page(70000);

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            struct buffer first = code(kinds[i].how, buffer_span(&text));
            struct buffer both = code(kinds[j].how, buffer_span(&first));
            char name[64], field[64];

            snprintf(name, sizeof name, "%s in %s", kinds[i].how, kinds[j].how);
            snprintf(field, sizeof field, "%s, identity ,%s", kinds[i].field, kinds[j].field);
            want(name, field, buffer_span(&both), buffer_span(&text));
            want_error(name, field, span_slice(buffer_span(&both), 0, both.size / 2), ERROR_CORRUPT,
                       strcmp(kinds[j].how, "raw") == 0 || strcmp(kinds[j].how, "zlib") == 0
                           ? "deflate: the bytes are cut short"
                       : strcmp(kinds[j].how, "gzip") == 0 ? "gzip: the bytes are cut short"
                       : strcmp(kinds[j].how, "br") == 0   ? "br: the bytes are cut short"
                                                           : "zstd: the bytes are cut short");
            buffer_release(&first);
            buffer_release(&both);
        }
    buffer_release(&text);
}

static void says_what_is_wrong(void **state)
{
    struct buffer text = page(50000);
    char message[64];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buffer coded = code(kinds[i].how, buffer_span(&text));
        const char *name = kinds[i].how;
        enum coding coding = CODINGS;
        size_t at = coded.size / 2;

        assert_true(coding_of(span_text(kinds[i].field), &coding));
        snprintf(message, sizeof message, "%.*s: the bytes are cut short",
                 SPAN_PRINT(coding_name(coding)));
        want_error(name, kinds[i].field, span_slice(buffer_span(&coded), 0, coded.size - 1),
                   ERROR_CORRUPT, message);
        want_error(name, kinds[i].field, span_slice(buffer_span(&coded), 0, 1), ERROR_CORRUPT,
                   message);
        want(name, kinds[i].field, SPAN(""), SPAN("")); // some servers label an empty body
        if (strcmp(name, "gzip") == 0) {                // its checksum
            coded.at[coded.size - 5] ^= 1;
            want_error(name, "gzip", buffer_span(&coded), ERROR_CORRUPT,
                       "gzip: the bytes are damaged");
            coded.at[coded.size - 5] ^= 1;
            coded.at[0] ^= 1;
            want_error(name, "gzip", buffer_span(&coded), ERROR_CORRUPT,
                       "gzip: the bytes are damaged");
        }
        memset(coded.at + at, 0xff, 64); // every one of them stumbles over this
        for (enum cut cut = WHOLE; cut < CUTS; cut++) {
            struct outcome outcome = undo(kinds[i].field, buffer_span(&coded), cut);
            if (outcome.kind != ERROR_CORRUPT &&
                span_equal(buffer_span(&outcome.out), buffer_span(&text)))
                fail_msg("%s: damage did not show", name);
            buffer_release(&outcome.out);
        }
        buffer_release(&coded);
    }
    buffer_release(&text);
}

static void ignores_what_comes_behind(void **state)
{
    struct buffer text = page(20000);

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buffer coded = code(kinds[i].how, buffer_span(&text));
        struct buffer more = { .limit_bytes = 10 * MB };
        bool is_many = strcmp(kinds[i].how, "zstd") == 0 || strcmp(kinds[i].how, "gzip") == 0;

        buffer_append(&more, buffer_span(&coded));
        buffer_append(&more, SPAN("\r\n\0\0<!-- 0.1 s -->"));
        want(kinds[i].how, kinds[i].field, buffer_span(&more), buffer_span(&text));

        // zstd is made of frames, gzip of members; of the others browsers read the first.
        more.size = 0;
        buffer_append(&more, buffer_span(&coded));
        buffer_append(&more, buffer_span(&coded));
        if (is_many) {
            struct buffer twice = { .limit_bytes = MB };
            buffer_append(&twice, buffer_span(&text));
            buffer_append(&twice, buffer_span(&text));
            want("two in a row", kinds[i].field, buffer_span(&more), buffer_span(&twice));
            buffer_release(&twice);
        } else {
            want("two members", kinds[i].field, buffer_span(&more), buffer_span(&text));
        }
        buffer_release(&more);
        buffer_release(&coded);
    }
    buffer_release(&text);
}

/* ---- limits ---- */

static void want_whole(const char *field, struct span coded, enum error_kind kind, const char *text)
{
    struct outcome outcome = undo(field, coded, WHOLE);

    if (outcome.kind != kind || (kind && strcmp(outcome.error.text, text) != 0))
        fail_msg("%s: %s", field, outcome.kind ? outcome.error.text : "no error");
    buffer_release(&outcome.out);
}

static void refuses_bombs(void **state)
{
    static const struct {
        const char *how, *text;
    } rows[] = {
        { "gzip", "gzip: more than 1000 bytes for each that came" },
        { "br", "br: more than 1000 bytes for each that came" },
        { "zstd", "zstd: more than 1000 bytes for each that came" },
    };
    struct buffer at_limit = zeros(CODING_RATIO_FROM_BYTES);
    struct buffer over = zeros(CODING_RATIO_FROM_BYTES + 1);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer coded = code(rows[i].how, buffer_span(&at_limit));
        want_whole(rows[i].how, buffer_span(&coded), ERROR_NONE, "");
        buffer_release(&coded);
        coded = code(rows[i].how, buffer_span(&over));
        want_whole(rows[i].how, buffer_span(&coded), ERROR_LIMIT, rows[i].text);
        buffer_release(&coded);
    }
    buffer_release(&at_limit);
    buffer_release(&over);
}

static void a_dense_body_below_the_ratio_passes(void **state)
{
    struct buffer text = zeros(20 * MB), coded;

    (void)state;
    for (size_t i = 0; i < text.size; i += 500) // not so dense
        text.at[i] = (char)below(256);
    coded = code("gzip", buffer_span(&text));
    want_whole("gzip", buffer_span(&coded), ERROR_NONE, "");
    buffer_release(&coded);
    buffer_release(&text);
}

static void bounds_windows(void **state)
{
    struct buffer text = page(100000), coded;

    (void)state;
    coded = by_zstd(buffer_span(&text), CODING_ZSTD_WINDOW_BITS);
    want_whole("zstd", buffer_span(&coded), ERROR_NONE, "");
    buffer_release(&coded);
    coded = by_zstd(buffer_span(&text), CODING_ZSTD_WINDOW_BITS + 1);
    want_whole("zstd", buffer_span(&coded), ERROR_LIMIT, "zstd: it wants a window over 8 MB");
    buffer_release(&coded);
    coded = by_br(buffer_span(&text), CODING_BR_WINDOW_BITS, false);
    want_whole("br", buffer_span(&coded), ERROR_NONE, "");
    buffer_release(&coded);
    coded = by_br(buffer_span(&text), CODING_BR_WINDOW_BITS + 1, true);
    want_whole("br", buffer_span(&coded), ERROR_CORRUPT, "br: the bytes are damaged");
    buffer_release(&coded);
    buffer_release(&text);
}

static void bounds_memory(void **state)
{
    struct buffer text = page(100000);
    struct coding_memory before = memory;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buffer coded = code(kinds[i].how, buffer_span(&text));
        enum coding coding = CODINGS;
        char message[64];

        assert_true(coding_of(span_text(kinds[i].field), &coding));
        snprintf(message, sizeof message, "%.*s: no memory is left for it",
                 SPAN_PRINT(coding_name(coding)));
        memory.limit_bytes = 2000;
        want_whole(kinds[i].field, buffer_span(&coded), ERROR_LIMIT, message);
        memory.limit_bytes = 12 * MB;
        want_whole(kinds[i].field, buffer_span(&coded), ERROR_NONE, "");
        buffer_release(&coded);
    }
    for (enum coding coding = 0; coding < CODINGS; coding++) {
        struct encoder *encoder, *second;
        size_t needs;

        memory.limit_bytes = 12 * MB;
        encoder = encoder_new(coding, &memory);
        assert_non_null(encoder);
        needs = memory.used_bytes;
        memory.limit_bytes = 2 * needs - 1;
        assert_null(encoder_new(coding, &memory));
        memory.limit_bytes = 2 * needs;
        second = encoder_new(coding, &memory);
        assert_non_null(second);
        encoder_free(&second);
        encoder_free(&encoder);
        assert_int_equal(memory.used_bytes, 0);
    }
    memory = before;
    buffer_release(&text);
}

static void knows_names(void **state)
{
    static const struct {
        const char *field;
        bool is_known;
        size_t count;
    } rows[] = {
        { "", true, 0 },           { "identity", true, 0 },      { "GZIP", true, 1 },
        { "gzip, br", true, 2 },   { ", gzip ,,zstd", true, 2 }, { "gzip,br,zstd", false, 0 },
        { "compress", false, 0 },  { "gzip;q=1", false, 0 },     { "dcb", false, 0 },
        { "gzip, exi", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct codings codings = { .count = 0 };
        bool is_known = codings_add(&codings, span_text(rows[i].field));
        if (is_known != rows[i].is_known || (is_known && codings.count != rows[i].count))
            fail_msg("%s: %d, %zu", rows[i].field, is_known, codings.count);
    }
}

/* ---- done ---- */

static struct buffer encode(enum coding coding, struct span text, enum cut cut, bool flush)
{
    struct buffer out = { .limit_bytes = 10 * MB };
    struct encoder *encoder = encoder_new(coding, &memory);
    bool is_last = false;

    assert_non_null(encoder);
    do {
        size_t take = cut == WHOLE ? text.size : cut == BYTES ? 1 : below(3000), made, room;
        enum encoder_order order;
        struct span in;

        if (take > text.size)
            take = text.size;
        in = span_slice(text, 0, take);
        text = span_from(text, take);
        is_last = text.size == 0;
        order = is_last ? ENCODER_FINISH : flush && below(4) == 0 ? ENCODER_FLUSH : ENCODER_GO_ON;
        do {
            room = cut == WHOLE ? 65536 : 1 + below(100);
            assert_true(buffer_reserve(&out, room));
            encoder_run(encoder, &in, order, out.at + out.size, room, &made);
            out.size += made;
        } while (made == room);
        assert_int_equal(in.size, 0);
    } while (!is_last);
    encoder_free(&encoder);
    return out;
}

/* Neither of them is a bomb: both together are. */
static void refuses_what_two_make_of_little(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct buffer text = zeros(CODING_RATIO_FROM_BYTES + more);
        struct buffer once = encode(CODING_GZIP, buffer_span(&text), WHOLE, false);
        struct buffer twice = encode(CODING_GZIP, buffer_span(&once), WHOLE, false);

        assert_true(text.size / once.size < CODING_RATIO && once.size / twice.size < CODING_RATIO);
        assert_true(text.size / twice.size > CODING_RATIO);
        want_whole("gzip", buffer_span(&once), ERROR_NONE, "");
        want_whole("gzip, gzip", buffer_span(&twice), more ? ERROR_LIMIT : ERROR_NONE,
                   more ? "gzip: more than 1000 bytes for each that came" : "");
        buffer_release(&text);
        buffer_release(&once);
        buffer_release(&twice);
    }
}

static void does_what_it_undoes(void **state)
{
    static const size_t sizes[] = { 0, 1, 3000, 40000 };

    (void)state;
    for (enum coding coding = 0; coding < CODINGS; coding++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (enum cut cut = WHOLE; cut < CUTS; cut++) {
                struct buffer text = page(sizes[i]);
                struct buffer coded = encode(coding, buffer_span(&text), cut, cut == RANDOM);
                char field[16];

                snprintf(field, sizeof field, "%.*s", SPAN_PRINT(coding_name(coding)));
                if (sizes[i] == 40000 && cut == WHOLE)
                    assert_true(coded.size < 12000);
                want(field, field, buffer_span(&coded), buffer_span(&text));
                buffer_release(&coded);
                buffer_release(&text);
            }
}

static void flushes(void **state)
{
    (void)state;
    for (enum coding coding = 0; coding < CODINGS; coding++) {
        struct encoder *encoder = encoder_new(coding, &memory);
        struct codings codings = { { coding }, 1 };
        struct decoder *decoder = decoder_new(&codings, &memory);
        char coded[1000], text[1000];

        for (int i = 0; i < 3; i++) {
            struct span in = SPAN("a first word"), from;
            size_t made, got;

            encoder_run(encoder, &in, ENCODER_FLUSH, coded, sizeof coded, &made);
            assert_true(made > 0 && made < sizeof coded);
            from = span_of(coded, made);
            assert_int_equal(decoder_run(decoder, &from, false, text, sizeof text, &got, NULL), 0);
            assert_true(span_equal(span_of(text, got), SPAN("a first word")));
            encoder_run(encoder, &in, ENCODER_FLUSH, coded, sizeof coded, &made);
            assert_int_equal(made, 0); // nothing is left
        }
        decoder_free(&decoder);
        encoder_free(&encoder);
        assert_int_equal(memory.used_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undoes_what_libraries_make),
        cmocka_unit_test(undoes_two_at_once),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(ignores_what_comes_behind),
        cmocka_unit_test(refuses_bombs),
        cmocka_unit_test(a_dense_body_below_the_ratio_passes),
        cmocka_unit_test(bounds_windows),
        cmocka_unit_test(bounds_memory),
        cmocka_unit_test(knows_names),
        cmocka_unit_test(does_what_it_undoes),
        cmocka_unit_test(refuses_what_two_make_of_little),
        cmocka_unit_test(flushes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
