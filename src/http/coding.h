/*
 * coding.h - content codings undone and done, a piece at a time: gzip, deflate, br, zstd.
 *
 * Bytes in, bytes out, never more of either than the caller says, so that a bomb costs no more than
 * its caller wants to spend at once. A decoder undoes up to CODING_STACK codings. What browsers
 * take is taken: deflate without its zlib header, members of gzip and frames of zstd one behind the
 * other, other bytes behind the end of a stream (they are ignored), an empty body. What is corrupt,
 * cut short, too dense or wants too large a window is an error. Memory that the libraries take is
 * counted, for a ceiling over all of them. Knows nothing of messages.
 */
#ifndef DEJUNK_HTTP_CODING_H
#define DEJUNK_HTTP_CODING_H

#include "base/bytes.h"
#include "base/error.h"

enum coding { CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD, CODINGS };

enum {
    CODING_STACK = 2,
    CODING_BR_WINDOW_BITS = 24,   // 16 MB, the most that br has
    CODING_ZSTD_WINDOW_BITS = 23, // 8 MB, RFC 9659
    CODING_RATIO = 1000, // bytes for each one that came in, of each and of all; past so many:
    CODING_RATIO_FROM_BYTES = 16 * 1024 * 1024,
    CODING_STEP_BYTES = 16 * 1024, // between two codings
};

struct codings { // in the order in which they were done
    enum coding items[CODING_STACK];
    size_t count;
};

/* "gzip", "x-gzip", "deflate", "br", "zstd", without case. */
bool coding_of(struct span name, enum coding *out);
struct span coding_name(enum coding coding);
/* Adds what a Content-Encoding field says; "identity" is nothing. False: one is not known, or
 * there are more than CODING_STACK of them. */
bool codings_add(struct codings *codings, struct span field);

struct coding_memory { // shared by many; outlives them
    size_t used_bytes;
    size_t limit_bytes;
};

struct decoder; // opaque

/* `memory` is borrowed. What it cannot have shows as ERROR_LIMIT while it runs. */
struct decoder *decoder_new(const struct codings *codings, struct coding_memory *memory);
void decoder_free(struct decoder **decoder);

/* Takes from the front of *in, makes at most `room` (1 or more) bytes at `to`. When *made is less
 * than room all of *in was taken. is_last: nothing comes behind *in; when *made is then less than
 * room, that was all. ERROR_CORRUPT, ERROR_LIMIT; what was made before is good, nothing more
 * comes. */
enum error_kind decoder_run(struct decoder *decoder, struct span *in, bool is_last, char *to,
                            size_t room, size_t *made, struct error *error);

struct encoder; // opaque

/* At a fast level. NULL when there is too little memory left. deflate has its zlib header. */
struct encoder *encoder_new(enum coding coding, struct coding_memory *memory);
void encoder_free(struct encoder **encoder);

enum encoder_order {
    ENCODER_GO_ON, // keep what compresses better together with more
    ENCODER_FLUSH, // all that went in can be decoded from what comes out
    ENCODER_FINISH
};
/* As decoder_run(): when *made is less than room, all was taken and the order is done. */
void encoder_run(struct encoder *encoder, struct span *in, enum encoder_order order, char *to,
                 size_t room, size_t *made);

#endif
