#include "proxy/outbox.h"

#include <assert.h>

enum { HEAD_KEEP_BYTES = 16 * 1024, HEAD_LIMIT_BYTES = 512 * 1024 };

void outbox_stage_init(struct outbox_stage *stage)
{
    stage->target = NULL;
    stage->part_count = 0;
    stage->text_size = 0;
    stage->head = (struct buffer){ .limit_bytes = HEAD_LIMIT_BYTES };
}

void outbox_stage_done(struct outbox_stage *stage)
{
    buffer_release(&stage->head);
}

void outbox_init(struct outbox *outbox, struct outbox_stage *stage, struct stream *stream)
{
    *outbox = (struct outbox){ .stream = stream, .stage = stage };
    outbox->kept.limit_bytes = OUTBOX_LIMIT_BYTES;
}

static void empty_stage(struct outbox_stage *stage)
{
    stage->target = NULL;
    stage->part_count = 0;
    stage->text_size = 0;
    stage->head.size = 0;
    if (stage->head.capacity > HEAD_KEEP_BYTES)
        buffer_release(&stage->head);
}

void outbox_done(struct outbox *outbox)
{
    if (outbox->stage && outbox->stage->target == outbox)
        empty_stage(outbox->stage);
    buffer_release(&outbox->kept);
    outbox->kept_sent = 0;
}

static void break_off(struct outbox *outbox)
{
    outbox->is_broken = true;
    buffer_release(&outbox->kept);
    outbox->kept_sent = 0;
}

static void keep(struct outbox *outbox, struct span bytes)
{
    if (outbox->is_broken)
        return;
    if (outbox->kept_sent == outbox->kept.size)
        outbox->kept_sent = outbox->kept.size = 0;
    if (!buffer_append(&outbox->kept, bytes))
        break_off(outbox); // the feeding side was not stopped: cannot happen to a reader
}

/* Opens the stage for this outbox; another one's pieces go out first. */
static struct outbox_stage *stage_for(struct outbox *outbox)
{
    struct outbox_stage *stage = outbox->stage;

    if (stage->target != outbox) {
        if (stage->target)
            outbox_flush(stage->target);
        stage->target = outbox;
    }
    return stage;
}

void outbox_put(struct outbox *outbox, struct span bytes)
{
    struct outbox_stage *stage;

    if (bytes.size == 0 || outbox->is_broken)
        return;
    stage = stage_for(outbox);
    if (stage->part_count == OUTBOX_PARTS) {
        // The text and head areas stay as they are until the end of the event: only keep parts.
        for (int i = 0; i < stage->part_count; i++)
            keep(outbox, span_of(stage->parts[i].iov_base, stage->parts[i].iov_len));
        stage->part_count = 0;
    }
    stage->parts[stage->part_count++] =
        (struct iovec){ .iov_base = (char *)bytes.at, .iov_len = bytes.size };
}

void outbox_put_copy(struct outbox *outbox, struct span bytes)
{
    struct outbox_stage *stage;

    assert(bytes.size <= OUTBOX_TEXT_BYTES);
    if (bytes.size == 0 || outbox->is_broken)
        return;
    stage = stage_for(outbox);
    if (bytes.size > OUTBOX_TEXT_BYTES - stage->text_size) {
        outbox_flush(outbox);
        stage = stage_for(outbox);
    }
    memcpy(stage->text + stage->text_size, bytes.at, bytes.size);
    outbox_put(outbox, span_of(stage->text + stage->text_size, bytes.size));
    stage->text_size += bytes.size;
}

struct buffer *outbox_head(struct outbox *outbox)
{
    struct outbox_stage *stage = stage_for(outbox);

    if (stage->head.size) // a second head in one event: the buffer may move under the first
        outbox_flush(outbox);
    stage->target = outbox;
    return &stage->head;
}

void outbox_put_head(struct outbox *outbox, size_t from)
{
    struct outbox_stage *stage = outbox->stage;

    assert(stage->target == outbox);
    outbox_put(outbox, span_from(buffer_span(&stage->head), from));
}

/* What is left of the parts from byte `put` on goes into kept. */
static void keep_rest(struct outbox *outbox, size_t put)
{
    struct outbox_stage *stage = outbox->stage;

    for (int i = 0; i < stage->part_count; i++) {
        struct iovec *part = &stage->parts[i];
        if (put >= part->iov_len) {
            put -= part->iov_len;
            continue;
        }
        keep(outbox, span_of((char *)part->iov_base + put, part->iov_len - put));
        put = 0;
    }
}

static void write_kept(struct outbox *outbox)
{
    while (!outbox_is_empty(outbox) && !outbox->is_broken) {
        struct iovec part = { .iov_base = outbox->kept.at + outbox->kept_sent,
                              .iov_len = outbox->kept.size - outbox->kept_sent };
        size_t put = 0;

        switch (stream_write(outbox->stream, &part, 1, &put)) {
        case STREAM_OK:
            outbox->kept_sent += put;
            outbox->written_bytes += put;
            break;
        case STREAM_WAIT:
            return;
        case STREAM_END:
        case STREAM_LOST:
            break_off(outbox);
            return;
        }
    }
    if (outbox_is_empty(outbox)) {
        buffer_release(&outbox->kept);
        outbox->kept_sent = 0;
    }
}

bool outbox_flush(struct outbox *outbox)
{
    struct outbox_stage *stage = outbox->stage;
    bool has_staged = stage->target == outbox && stage->part_count > 0;

    if (!outbox_is_empty(outbox))
        write_kept(outbox);
    if (has_staged && !outbox->is_broken) {
        size_t put = 0;
        if (outbox_is_empty(outbox)) {
            switch (stream_write(outbox->stream, stage->parts, stage->part_count, &put)) {
            case STREAM_OK:
                outbox->written_bytes += put;
                break;
            case STREAM_WAIT:
                put = 0;
                break;
            case STREAM_END:
            case STREAM_LOST:
                break_off(outbox);
                break;
            }
        }
        if (!outbox->is_broken)
            keep_rest(outbox, put);
    }
    if (stage->target == outbox)
        empty_stage(stage);
    return !outbox->is_broken;
}
