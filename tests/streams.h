/* One text fed whole, byte by byte, and cut at random: what comes of it must be the same. */
#ifndef DEJUNK_TESTS_STREAMS_H
#define DEJUNK_TESTS_STREAMS_H

#include <stdlib.h>

#include "base/bytes.h"

enum { STREAM_CUTS = 12 }; // ways to cut: whole, single bytes, and these less two at random

struct stream {
    struct span left;
    unsigned cut;
    uint64_t random;
    char *piece; // a copy of its own size, so that a sanitizer sees what is read beyond
};

static inline struct stream stream_of(struct span text, unsigned cut)
{
    return (struct stream){ .left = text, .cut = cut, .random = cut * 2654435761u };
}

static inline bool stream_next(struct stream *stream, struct span *piece)
{
    size_t size = stream->left.size;

    free(stream->piece);
    stream->piece = NULL;
    if (size == 0)
        return false;
    stream->random = stream->random * 6364136223846793005u + 1442695040888963407u;
    if (stream->cut == 1)
        size = 1;
    else if (stream->cut > 1)
        size = (size_t)(stream->random >> 33) % (stream->cut * 3) + 1;
    if (size > stream->left.size)
        size = stream->left.size;
    stream->piece = malloc(size);
    if (!stream->piece)
        abort();
    memcpy(stream->piece, stream->left.at, size);
    *piece = span_of(stream->piece, size);
    stream->left = span_from(stream->left, size);
    return true;
}

#endif
