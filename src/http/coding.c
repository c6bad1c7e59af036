#include "http/coding.h"

#include <assert.h>
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    GZIP_WINDOW_BITS = MAX_WBITS + 16, // zlib: with a gzip header
    ZLIB_LEVEL = 1,
    ZLIB_ENCODER_BYTES = 272 * 1024, // zconf.h: (1 << (15 + 2)) + (1 << (8 + 9)) and a little
    BR_LEVEL = 1,
    BR_ENCODER_WINDOW_BITS = 18,
    BR_ENCODER_BYTES = 2 * 1024 * 1024,
    ZSTD_LEVEL = 1,
    ZSTD_ENCODER_WINDOW_BITS = 17,
    ZSTD_ENCODER_BYTES = 1024 * 1024,
};

/* ---- names ---- */

static const struct span names[CODINGS] = {
    [CODING_GZIP] = { "gzip", 4 },
    [CODING_DEFLATE] = { "deflate", 7 },
    [CODING_BR] = { "br", 2 },
    [CODING_ZSTD] = { "zstd", 4 },
};

bool coding_of(struct span name, enum coding *out)
{
    for (enum coding i = 0; i < CODINGS; i++)
        if (span_equal_nocase(name, names[i])) {
            *out = i;
            return true;
        }
    if (!span_equal_nocase(name, SPAN("x-gzip")))
        return false;
    *out = CODING_GZIP;
    return true;
}

struct span coding_name(enum coding coding)
{
    return names[coding];
}

bool codings_add(struct codings *codings, struct span field)
{
    struct span element;
    enum coding coding;

    while (span_next_element(&field, &element)) {
        if (span_equal_nocase(element, SPAN("identity")))
            continue;
        if (codings->count == CODING_STACK || !coding_of(element, &coding))
            return false;
        codings->items[codings->count++] = coding;
    }
    return true;
}

/* ---- memory ---- */

union room_head { // in front of what a library was given
    size_t bytes;
    max_align_t aligned;
};

static void *take_memory(void *owner, size_t bytes)
{
    struct coding_memory *memory = owner;
    union room_head *head;

    if (memory->used_bytes > memory->limit_bytes ||
        bytes > memory->limit_bytes - memory->used_bytes)
        return NULL;
    head = malloc(sizeof *head + bytes);
    if (!head)
        abort(); // out of memory ends the worker; the master starts another
    head->bytes = bytes;
    memory->used_bytes += bytes;
    return head + 1;
}

static void give_memory_back(void *owner, void *room)
{
    struct coding_memory *memory = owner;
    union room_head *head = room;

    if (!head)
        return;
    memory->used_bytes -= head[-1].bytes;
    free(head - 1);
}

static void *take_items(void *owner, unsigned count, unsigned size)
{
    return take_memory(owner, (size_t)count * size);
}

/* ---- one coding undone ---- */

struct undoing { // of one coding
    enum coding coding;
    bool has_begun;   // it got a byte
    bool has_ended;   // the rest of what it gets is not looked at
    bool has_failed;  // once told, nothing more comes
    bool has_library; // begin() was called
    bool is_at_start; // deflate: of all; zstd: of what may be a frame; gzip: of what may be another
                      // member; gathers `start`
    bool has_frame;   // zstd, gzip: one is whole
    char start[4];
    size_t start_size;
    uint64_t taken_bytes, made_bytes;
    size_t counted_bytes; // zstd: in memory->used_bytes
    z_stream zlib;
    BrotliDecoderState *br;
    ZSTD_DCtx *zstd;
};

static bool begin_zlib(struct undoing *u, int window_bits, struct coding_memory *memory)
{
    u->zlib.zalloc = take_items;
    u->zlib.zfree = give_memory_back;
    u->zlib.opaque = memory;
    return inflateInit2(&u->zlib, window_bits) == Z_OK;
}

/* False: no memory for it. */
static bool begin(struct undoing *u, struct coding_memory *memory)
{
    switch (u->coding) {
    case CODING_GZIP:
        return begin_zlib(u, GZIP_WINDOW_BITS, memory);
    case CODING_DEFLATE: { // RFC 1950 section 2.2, or else RFC 1951 at once
        unsigned first = (uint8_t)u->start[0], second = (uint8_t)u->start[1];
        bool has_header = u->start_size == 2 && (first & 0xf) == Z_DEFLATED && (first >> 4) <= 7 &&
                          (first << 8 | second) % 31 == 0;
        return begin_zlib(u, has_header ? MAX_WBITS : -MAX_WBITS, memory);
    }
    case CODING_BR:
        u->br = BrotliDecoderCreateInstance(take_memory, give_memory_back, memory);
        return u->br != NULL;
    case CODING_ZSTD:
        u->zstd = ZSTD_createDCtx();
        if (!u->zstd)
            abort(); // out of memory ends the worker; the master starts another
        ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, CODING_ZSTD_WINDOW_BITS);
        return true;
    case CODINGS:
        break;
    }
    assert(!"a coding");
    return false;
}

static void end(struct undoing *u, struct coding_memory *memory)
{
    if (u->zlib.state)
        inflateEnd(&u->zlib);
    if (u->br)
        BrotliDecoderDestroyInstance(u->br);
    if (u->zstd)
        ZSTD_freeDCtx(u->zstd);
    memory->used_bytes -= u->counted_bytes;
}

enum step { STEP_ON, STEP_DRY, STEP_ENDED, STEP_CORRUPT, STEP_WINDOW, STEP_NO_MEMORY };

static enum step step_zlib(struct undoing *u, struct span *in, char *to, size_t room, size_t *made)
{
    uInt size = in->size > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)in->size;
    int answer;

    u->zlib.next_in = (Bytef *)in->at; // only read
    u->zlib.avail_in = size;
    u->zlib.next_out = (Bytef *)to;
    u->zlib.avail_out = room > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)room;
    answer = inflate(&u->zlib, Z_NO_FLUSH);
    *in = span_from(*in, size - u->zlib.avail_in);
    *made = (size_t)((char *)u->zlib.next_out - to);
    switch (answer) {
    case Z_OK:
        return STEP_ON;
    case Z_BUF_ERROR:
        return STEP_DRY;
    case Z_STREAM_END:
        if (u->coding != CODING_GZIP || inflateReset(&u->zlib) != Z_OK)
            return STEP_ENDED;
        u->is_at_start = u->has_frame = true; // of another member, or of what is none
        return STEP_ON;
    case Z_MEM_ERROR:
        return STEP_NO_MEMORY;
    default: // a preset dictionary is none of HTTP's
        return STEP_CORRUPT;
    }
}

static enum step step_br(struct undoing *u, struct span *in, char *to, size_t room, size_t *made)
{
    const uint8_t *next_in = (const uint8_t *)in->at;
    uint8_t *next_out = (uint8_t *)to;
    size_t left = in->size, room_left = room;
    BrotliDecoderResult answer =
        BrotliDecoderDecompressStream(u->br, &left, &next_in, &room_left, &next_out, NULL);

    *in = span_from(*in, in->size - left);
    *made = room - room_left;
    switch (answer) {
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        return STEP_DRY;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return STEP_ON;
    case BROTLI_DECODER_RESULT_SUCCESS:
        return STEP_ENDED;
    case BROTLI_DECODER_RESULT_ERROR:
        break;
    }
    switch (BrotliDecoderGetErrorCode(u->br)) {
    case BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES:
    case BROTLI_DECODER_ERROR_ALLOC_TREE_GROUPS:
    case BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MAP:
    case BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1:
    case BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2:
    case BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES:
        return STEP_NO_MEMORY;
    default:
        return STEP_CORRUPT;
    }
}

static enum step step_zstd(struct undoing *u, struct coding_memory *memory, struct span *in,
                           char *to, size_t room, size_t *made)
{
    ZSTD_inBuffer from = { in->at, in->size, 0 };
    ZSTD_outBuffer into = { to, room, 0 };
    size_t answer = ZSTD_decompressStream(u->zstd, &into, &from), bytes;

    *in = span_from(*in, from.pos);
    *made = into.pos;
    if (ZSTD_isError(answer))
        return ZSTD_getErrorCode(answer) == ZSTD_error_frameParameter_windowTooLarge ? STEP_WINDOW
                                                                                     : STEP_CORRUPT;
    bytes = ZSTD_sizeof_DCtx(u->zstd);
    memory->used_bytes = memory->used_bytes - u->counted_bytes + bytes;
    u->counted_bytes = bytes;
    if (memory->used_bytes > memory->limit_bytes)
        return STEP_NO_MEMORY;
    u->is_at_start = answer == 0; // of another frame, or of what is none
    u->has_frame |= answer == 0;
    if (into.pos == room)
        return STEP_ON;
    return in->size ? STEP_ON : STEP_DRY;
}

/* RFC 8878 section 3.1: a frame's magic number, or a skippable frame's. */
static bool is_frame(struct span start)
{
    return span_equal(start, SPAN("\x28\xb5\x2f\xfd")) ||
           (start.size == 4 && (start.at[0] & 0xf0) == 0x50 &&
            span_equal(span_from(start, 1), SPAN("\x2a\x4d\x18")));
}

/* RFC 1952 section 2.3: a member of deflated bytes. */
static bool is_member(struct span start)
{
    return span_equal(start, SPAN("\x1f\x8b\x08"));
}

/* Waits for as many bytes as tell what begins here. False: there are too few yet. */
static bool gather(struct undoing *u, struct span *in, bool is_last)
{
    size_t wanted = u->coding == CODING_DEFLATE ? 2 : u->coding == CODING_GZIP ? 3 : 4;
    struct span start;

    while (u->start_size < wanted && in->size) {
        u->start[u->start_size++] = *in->at;
        *in = span_from(*in, 1);
        u->taken_bytes++;
    }
    if (u->start_size < wanted && !is_last)
        return false;
    u->is_at_start = false;
    start = span_of(u->start, u->start_size);
    if (u->has_frame && !(u->coding == CODING_GZIP ? is_member(start) : is_frame(start)))
        u->has_ended = true; // the rest is nothing
    return true;
}

static enum step step_once(struct undoing *u, struct coding_memory *memory, struct span *in,
                           char *to, size_t room, size_t *made)
{
    switch (u->coding) {
    case CODING_BR:
        return step_br(u, in, to, room, made);
    case CODING_ZSTD:
        return step_zstd(u, memory, in, to, room, made);
    default:
        return step_zlib(u, in, to, room, made);
    }
}

static enum error_kind fail(struct undoing *u, enum error_kind kind, const char *what,
                            struct error *error)
{
    u->has_failed = true;
    return error_set(error, kind, "%.*s: %s", SPAN_PRINT(names[u->coding]), what);
}

#define TOO_DENSE "more than 1000 bytes for each that came"

static bool is_too_dense(uint64_t made_bytes, uint64_t taken_bytes)
{
    return made_bytes > CODING_RATIO_FROM_BYTES && made_bytes / CODING_RATIO > taken_bytes;
}

static bool is_whole(const struct undoing *u)
{
    return u->has_ended || !u->has_begun || (u->has_frame && u->is_at_start);
}

/* One step of the library with what was gathered, or else with *in. */
static enum step step_on(struct undoing *u, struct coding_memory *memory, struct span *in, char *to,
                         size_t room, size_t *made)
{
    struct span start = span_of(u->start, u->start_size);
    size_t before = in->size;
    enum step step;

    if (start.size == 0) {
        step = step_once(u, memory, in, to, room, made);
        u->taken_bytes += before - in->size;
        return step;
    }
    step = step_once(u, memory, &start, to, room, made);
    if (step == STEP_DRY && start.size < u->start_size)
        step = STEP_ON; // *in is next
    memmove(u->start, start.at, start.size);
    u->start_size = start.size;
    return step;
}

/* The contract of decoder_run(), for one coding. */
static enum error_kind undo(struct undoing *u, struct coding_memory *memory, struct span *in,
                            bool is_last, char *to, size_t room, size_t *made, struct error *error)
{
    enum step step = STEP_ON;
    size_t now;

    *made = 0;
    if (u->has_failed)
        return fail(u, ERROR_CORRUPT, "it broke off before", error);
    u->has_begun |= in->size > 0;
    while (u->has_begun && !u->has_ended && *made < room && step == STEP_ON) {
        if (u->is_at_start && !gather(u, in, is_last))
            break;
        if (u->has_ended)
            break;
        if (!u->has_library && !begin(u, memory))
            return fail(u, ERROR_LIMIT, "no memory is left for it", error);
        u->has_library = true;
        step = step_on(u, memory, in, to + *made, room - *made, &now);
        *made += now;
        u->made_bytes += now;
        if (is_too_dense(u->made_bytes, u->taken_bytes))
            return fail(u, ERROR_LIMIT, TOO_DENSE, error);
    }
    switch (step) {
    case STEP_CORRUPT:
        return fail(u, ERROR_CORRUPT, "the bytes are damaged", error);
    case STEP_WINDOW:
        return fail(u, ERROR_LIMIT, "it wants a window over 8 MB", error);
    case STEP_NO_MEMORY:
        return fail(u, ERROR_LIMIT, "no memory is left for it", error);
    case STEP_ENDED:
        u->has_ended = true;
        break;
    case STEP_ON:
    case STEP_DRY:
        break;
    }
    if (u->has_ended)
        *in = span_from(*in, in->size);
    if (is_last && *made < room && !is_whole(u))
        return fail(u, ERROR_CORRUPT, "the bytes are cut short", error);
    return ERROR_NONE;
}

/* ---- decoders ---- */

struct decoder {
    struct coding_memory *memory;
    struct undoing undoings[CODING_STACK]; // the coding that was done last is undone first
    size_t count;
    char *between;       // the two; CODING_STEP_BYTES
    struct span waiting; // in `between`
};

static void begin_undoing(struct undoing *u, enum coding coding)
{
    u->coding = coding;
    // zstd: also so that the library never sees all of a frame at once, which it is stricter with.
    u->is_at_start = coding == CODING_DEFLATE || coding == CODING_ZSTD;
}

struct decoder *decoder_new(const struct codings *codings, struct coding_memory *memory)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);

    assert(codings->count <= CODING_STACK);
    if (!decoder)
        abort(); // out of memory ends the worker; the master starts another
    decoder->memory = memory;
    decoder->count = codings->count;
    for (size_t i = 0; i < codings->count; i++)
        begin_undoing(&decoder->undoings[i], codings->items[codings->count - 1 - i]);
    if (codings->count == CODING_STACK) {
        decoder->between = malloc(CODING_STEP_BYTES);
        if (!decoder->between)
            abort(); // out of memory ends the worker; the master starts another
    }
    return decoder;
}

void decoder_free(struct decoder **decoder)
{
    if (!*decoder)
        return;
    for (size_t i = 0; i < (*decoder)->count; i++)
        end(&(*decoder)->undoings[i], (*decoder)->memory);
    free((*decoder)->between);
    free(*decoder);
    *decoder = NULL;
}

static enum error_kind copy(struct span *in, char *to, size_t room, size_t *made)
{
    *made = in->size < room ? in->size : room;
    if (*made)
        memcpy(to, in->at, *made);
    *in = span_from(*in, *made);
    return ERROR_NONE;
}

static enum error_kind undo_both(struct decoder *d, struct span *in, bool is_last, char *to,
                                 size_t room, size_t *made, struct error *error)
{
    bool was_last = false; // all of the first one's output is in `waiting`
    enum error_kind kind;
    size_t got;

    *made = 0;
    for (;;) {
        kind = undo(&d->undoings[1], d->memory, &d->waiting, was_last, to + *made, room - *made,
                    &got, error);
        *made += got;
        if (!kind && is_too_dense(d->undoings[1].made_bytes, d->undoings[0].taken_bytes))
            kind = fail(&d->undoings[1], ERROR_LIMIT, TOO_DENSE, error); // by both together
        if (kind || *made == room || was_last)
            return kind;
        kind = undo(&d->undoings[0], d->memory, in, is_last, d->between, CODING_STEP_BYTES, &got,
                    error);
        if (kind)
            return kind;
        d->waiting = span_of(d->between, got);
        if (got == 0 && !is_last)
            return ERROR_NONE;
        was_last = is_last && got < CODING_STEP_BYTES;
    }
}

enum error_kind decoder_run(struct decoder *decoder, struct span *in, bool is_last, char *to,
                            size_t room, size_t *made, struct error *error)
{
    switch (decoder->count) {
    case 0:
        return copy(in, to, room, made);
    case 1:
        return undo(&decoder->undoings[0], decoder->memory, in, is_last, to, room, made, error);
    default:
        return undo_both(decoder, in, is_last, to, room, made, error);
    }
}

/* ---- encoders ---- */

struct encoder {
    enum coding coding;
    struct coding_memory *memory;
    size_t counted_bytes;
    bool is_flushed; // nothing is kept inside
    bool is_finished;
    z_stream zlib;
    BrotliEncoderState *br;
    ZSTD_CCtx *zstd;
};

static size_t encoder_bytes(enum coding coding)
{
    switch (coding) {
    case CODING_BR:
        return BR_ENCODER_BYTES;
    case CODING_ZSTD:
        return ZSTD_ENCODER_BYTES;
    default:
        return ZLIB_ENCODER_BYTES;
    }
}

struct encoder *encoder_new(enum coding coding, struct coding_memory *memory)
{
    size_t bytes = encoder_bytes(coding);
    struct encoder *encoder;

    if (memory->used_bytes > memory->limit_bytes ||
        bytes > memory->limit_bytes - memory->used_bytes)
        return NULL;
    encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        abort(); // out of memory ends the worker; the master starts another, as below
    *encoder = (struct encoder){ .coding = coding, .memory = memory, .counted_bytes = bytes };
    memory->used_bytes += bytes;
    switch (coding) {
    case CODING_BR:
        encoder->br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
        if (!encoder->br)
            abort();
        BrotliEncoderSetParameter(encoder->br, BROTLI_PARAM_QUALITY, BR_LEVEL);
        BrotliEncoderSetParameter(encoder->br, BROTLI_PARAM_LGWIN, BR_ENCODER_WINDOW_BITS);
        break;
    case CODING_ZSTD:
        encoder->zstd = ZSTD_createCCtx();
        if (!encoder->zstd)
            abort();
        ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_windowLog, ZSTD_ENCODER_WINDOW_BITS);
        break;
    default:
        if (deflateInit2(&encoder->zlib, ZLIB_LEVEL, Z_DEFLATED,
                         coding == CODING_GZIP ? GZIP_WINDOW_BITS : MAX_WBITS, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            abort();
        break;
    }
    return encoder;
}

void encoder_free(struct encoder **encoder)
{
    if (!*encoder)
        return;
    (*encoder)->memory->used_bytes -= (*encoder)->counted_bytes;
    if ((*encoder)->zlib.state)
        deflateEnd(&(*encoder)->zlib);
    if ((*encoder)->br)
        BrotliEncoderDestroyInstance((*encoder)->br);
    if ((*encoder)->zstd)
        ZSTD_freeCCtx((*encoder)->zstd);
    free(*encoder);
    *encoder = NULL;
}

/* Each answers whether the order is done, as far as the library says so. */
static bool run_zlib(struct encoder *e, struct span *in, enum encoder_order order, char *to,
                     size_t room, size_t *made)
{
    static const int orders[] = { Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH };
    int answer;

    e->zlib.next_in = (Bytef *)in->at; // only read
    e->zlib.avail_in = (uInt)in->size;
    e->zlib.next_out = (Bytef *)to;
    e->zlib.avail_out = (uInt)room;
    answer = deflate(&e->zlib, orders[order]);
    assert(answer == Z_OK || answer == Z_STREAM_END || answer == Z_BUF_ERROR);
    *in = span_from(*in, in->size - e->zlib.avail_in);
    *made = (size_t)((char *)e->zlib.next_out - to);
    return order == ENCODER_FINISH ? answer == Z_STREAM_END : e->zlib.avail_out > 0;
}

static bool run_br(struct encoder *e, struct span *in, enum encoder_order order, char *to,
                   size_t room, size_t *made)
{
    static const BrotliEncoderOperation orders[] = { BROTLI_OPERATION_PROCESS,
                                                     BROTLI_OPERATION_FLUSH,
                                                     BROTLI_OPERATION_FINISH };
    const uint8_t *next_in = (const uint8_t *)in->at;
    uint8_t *next_out = (uint8_t *)to;
    size_t left = in->size, room_left = room;
    bool is_good = BrotliEncoderCompressStream(e->br, orders[order], &left, &next_in, &room_left,
                                               &next_out, NULL);

    if (!is_good)
        abort(); // only for want of memory
    *in = span_from(*in, in->size - left);
    *made = room - room_left;
    return left == 0 && !BrotliEncoderHasMoreOutput(e->br);
}

static bool run_zstd(struct encoder *e, struct span *in, enum encoder_order order, char *to,
                     size_t room, size_t *made)
{
    static const ZSTD_EndDirective orders[] = { ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end };
    ZSTD_inBuffer from = { in->at, in->size, 0 };
    ZSTD_outBuffer into = { to, room, 0 };
    size_t answer = ZSTD_compressStream2(e->zstd, &into, &from, orders[order]);

    if (ZSTD_isError(answer))
        abort(); // only for want of memory
    *in = span_from(*in, from.pos);
    *made = into.pos;
    return order == ENCODER_GO_ON ? in->size == 0 : answer == 0;
}

void encoder_run(struct encoder *encoder, struct span *in, enum encoder_order order, char *to,
                 size_t room, size_t *made)
{
    bool is_done = encoder->is_finished ||
                   (in->size == 0 &&
                    (order == ENCODER_GO_ON || (order == ENCODER_FLUSH && encoder->is_flushed)));
    size_t now;

    *made = 0;
    while (!is_done && *made < room) {
        // The libraries count in 32 bits; so much is not put in at once by anybody.
        size_t size = in->size < (1u << 30) ? in->size : (1u << 30);
        struct span piece = span_slice(*in, 0, size);
        char *at = to + *made;
        size_t left = room - *made < (1u << 30) ? room - *made : (1u << 30);

        encoder->is_flushed = false;
        if (encoder->br)
            is_done = run_br(encoder, &piece, order, at, left, &now);
        else if (encoder->zstd)
            is_done = run_zstd(encoder, &piece, order, at, left, &now);
        else
            is_done = run_zlib(encoder, &piece, order, at, left, &now);
        *in = span_from(*in, size - piece.size);
        *made += now;
        is_done = is_done && in->size == 0;
    }
    if (is_done && order != ENCODER_GO_ON)
        encoder->is_flushed = true;
    if (is_done && order == ENCODER_FINISH)
        encoder->is_finished = true;
}
