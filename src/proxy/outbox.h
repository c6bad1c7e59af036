/*
 * outbox.h - what waits to be written to a stream: first by reference, then kept, with a ceiling.
 *
 * Within one event, pieces are put by reference and go out in one call when the event ends
 * (outbox_flush). Only what the peer does not take then is copied and kept; while anything is
 * kept, the side that feeds this outbox is not read, so that no outbox holds much more than one
 * read. One stage serves every outbox of a proxy: pieces are staged for one of them at a time.
 */
#ifndef DEJUNK_PROXY_OUTBOX_H
#define DEJUNK_PROXY_OUTBOX_H

#include "io/stream.h"

enum {
    OUTBOX_PARTS = 64,
    OUTBOX_TEXT_BYTES = 4096,
    // One read, a head of the largest size and the text around chunks.
    OUTBOX_LIMIT_BYTES = LOOP_SCRATCH_BYTES + 640 * 1024,
};

struct outbox {
    struct stream *stream;
    struct outbox_stage *stage;
    struct buffer kept;
    size_t kept_sent; // at the front of kept, already written
    bool is_broken;   // the peer takes no more
    uint64_t written_bytes;
};

struct outbox_stage { // one for each proxy
    struct outbox *target;
    struct iovec parts[OUTBOX_PARTS];
    int part_count;
    char text[OUTBOX_TEXT_BYTES];
    size_t text_size;
    struct buffer head; // for heads, emptied at each flush
};

void outbox_stage_init(struct outbox_stage *stage);
void outbox_stage_done(struct outbox_stage *stage);

void outbox_init(struct outbox *outbox, struct outbox_stage *stage, struct stream *stream);
void outbox_done(struct outbox *outbox);

/* Stages bytes that stay where they are until outbox_flush(). */
void outbox_put(struct outbox *outbox, struct span bytes);
/* Stages a copy of a few bytes (at most OUTBOX_TEXT_BYTES). */
void outbox_put_copy(struct outbox *outbox, struct span bytes);
/* A buffer to write one head into, then outbox_put_head() stages what was written. Only one head
 * may be open at a time. */
struct buffer *outbox_head(struct outbox *outbox);
void outbox_put_head(struct outbox *outbox, size_t from);

/* Writes what is kept and staged as far as the peer takes it; keeps the rest. Call it before the
 * bytes put by reference go away, at the latest when the event ends. False when the outbox is
 * broken. */
bool outbox_flush(struct outbox *outbox);

/* Nothing is kept (after a flush: all was written). */
static inline bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->kept.size == outbox->kept_sent;
}

#endif
