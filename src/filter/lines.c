#include "filter/lines.h"

#include <assert.h>

#include "filter/database.h"

/* ---- writing ---- */

void line_writer_init(struct line_writer *writer, const struct pieces_index *pieces,
                      struct vector *lines, struct vector *runs)
{
    writer->pieces = pieces;
    writer->lines = lines;
    writer->runs = runs;
    writer->subject = PIECES_REQUESTS;
    writer->records = writer->next_place = 0;
    writer->front_size = 0;
    vector_add(lines, 1, 1); // 0 is no number
}

/* How many bytes of the codes are those of the record before, whole codes only. */
static size_t shared_size(const struct line_writer *writer, size_t size)
{
    size_t limit = size < writer->front_size ? size : writer->front_size, same = 0, whole = 0;

    while (same < limit && writer->codes[same] == writer->front[same])
        same++;
    while (whole < same) {
        size_t step = writer->codes[whole] == PIECES_TEXT_RAW ? 2 : 1;
        if (whole + step > same)
            break;
        whole += step;
    }
    return whole;
}

static void begin_run(struct line_writer *writer, uint32_t place)
{
    *VECTOR_ADD(*writer->runs, struct image_run) =
        (struct image_run){ .at = (uint32_t)writer->lines->count, .place = place };
    writer->records = 0;
    writer->next_place = place;
    writer->front_size = 0;
}

uint32_t line_write(struct line_writer *writer, struct span text, uint32_t place)
{
    size_t limit = RULE_TEXT_LIMIT + 1, size, shared, count;
    uint32_t number = (uint32_t)writer->lines->count, skip;
    uint8_t head[5], *to;
    size_t head_size = 1;

    if (text.size > limit)
        text.size = limit;
    size = pieces_pack_text(writer->pieces, writer->subject, text, writer->codes);
    if (number == 1 || writer->records == IMAGE_RUN_LIMIT || place < writer->next_place ||
        place - writer->next_place > UINT8_MAX)
        begin_run(writer, place);
    skip = place - writer->next_place;
    shared = shared_size(writer, size);
    if (shared < 2)
        shared = 0;
    count = size - shared;
    head[0] = (uint8_t)(count < LINES_COUNT ? count : LINES_COUNT);
    if (head[0] == LINES_COUNT) {
        head[head_size++] = (uint8_t)count;
        head[head_size++] = (uint8_t)(count >> 8);
    }
    if (skip) {
        head[0] |= LINES_SKIP;
        head[head_size++] = (uint8_t)skip;
    }
    if (shared) {
        head[0] |= LINES_SHARED;
        head[head_size++] = (uint8_t)shared;
    }
    to = vector_add(writer->lines, 1, head_size + count);
    memcpy(to, head, head_size);
    memcpy(to + head_size, writer->codes + shared, count);
    writer->front_size = size < LINES_FRONT ? size : LINES_FRONT;
    memcpy(writer->front, writer->codes, writer->front_size);
    writer->records++;
    writer->next_place = place + 1;
    return number;
}

uint32_t line_writer_turn(struct line_writer *writer)
{
    writer->subject = PIECES_PAGES;
    writer->records = IMAGE_RUN_LIMIT; // the next one begins a run
    return (uint32_t)writer->lines->count;
}

void line_writer_finish(struct line_writer *writer)
{
    // so that the last run ends where the lines end
    begin_run(writer, UINT32_MAX);
}

/* ---- reading ---- */

struct record {
    uint32_t codes, count; // bytes in LINES, behind those that are shared
    uint32_t shared, skip;
};

/* Takes the head of the record at `at` apart. False: it leaves the section. */
static bool read_head(const struct image_view *view, uint32_t at, struct record *record)
{
    const uint8_t *lines = view->lines;
    uint32_t limit = view->lines_size, head;

    if (at == 0 || at >= limit)
        return false;
    head = lines[at++];
    record->count = head & LINES_COUNT;
    record->shared = record->skip = 0;
    if (record->count == LINES_COUNT) {
        if (limit - at < 2)
            return false;
        record->count = lines[at] | (uint32_t)lines[at + 1] << 8;
        at += 2;
    }
    if (head & LINES_SKIP) {
        if (at == limit)
            return false;
        record->skip = lines[at++];
    }
    if (head & LINES_SHARED) {
        if (at == limit)
            return false;
        record->shared = lines[at++];
    }
    record->codes = at;
    return record->count <= limit - at;
}

bool line_read(const struct image_view *view, uint32_t number, char *room, size_t limit,
               struct line *out)
{
    const struct image_run *run = image_find_run(view->line_runs, view->line_run_count, number);
    uint32_t at = run->at, place = run->place, front_size = 0, more;
    uint8_t front[LINES_FRONT];
    enum pieces_subject subject =
        number < view->header->page_lines_at ? PIECES_REQUESTS : PIECES_PAGES;
    struct record record;
    size_t size;

    for (unsigned i = 0;; i++) {
        if (i == IMAGE_RUN_LIMIT || at > number || !read_head(view, at, &record) ||
            record.shared > front_size)
            return false;
        place += record.skip;
        if (at == number)
            break;
        more = LINES_FRONT - record.shared;
        more = record.count < more ? record.count : more;
        memcpy(front + record.shared, view->lines + record.codes, more);
        front_size = record.shared + more;
        at = record.codes + record.count;
        place++;
    }
    if (place >> IMAGE_LINE_BITS >= view->list_count)
        return false;
    size = pieces_unpack_text(subject, front, record.shared, room, limit);
    size += pieces_unpack_text(subject, view->lines + record.codes, record.count, room + size,
                               limit - size);
    out->text = span_of(room, size);
    out->place = place;
    return true;
}

uint32_t line_next(const struct image_view *view, uint32_t number)
{
    struct record record;

    if (!read_head(view, number, &record) || record.codes + record.count >= view->lines_size)
        return 0;
    return record.codes + record.count;
}
